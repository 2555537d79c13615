package http3_test

import (
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// difference is what another protocol than HTTP/2 does its own way in some cases of TestLikeNetHTTP.
type difference struct {
	proto  string
	cases  *regexp.Regexp
	reason string // as docs/NETHTTP.md has it
}

func all(cases string) *regexp.Regexp { return regexp.MustCompile("^(" + cases + ")$") }

// namelessStatuses are those that net/http has no text for.
func namelessStatuses() (codes []string) {
	for code := 200; code <= 999; code++ {
		if http.StatusText(code) == "" {
			codes = append(codes, strconv.Itoa(code))
		}
	}
	return codes
}

// differences are all that there are.
var differences = []difference{
	{"HTTP/1.1", all("upload .*|request trailers|reverse order|trailers of any length \\d+"),
		"Request.TransferEncoding tells of chunks, which only HTTP/1.1 has."},
	{"HTTP/1.1", all("header fields|.* Connection"),
		"The field Connection reaches the other side: it is about the connection, which requests share in HTTP/2 and HTTP/3."},
	{"HTTP/1.1", all("expect continue, wanted"),
		"The handler sees the field Expect."},
	{"HTTP/1.1", all("(text status|status|status and nothing else) (" + strings.Join(namelessStatuses(), "|") + ")"),
		"Response.Status has the text that came with the response; HTTP/2 and HTTP/3 send none, and the client says what it knows."},
	{"HTTP/1.1", all("text status 304"),
		"The server leaves out Content-Type where there can't be a body."},
	{"HTTP/1.1", all("download (2047|2048|2049|4095|4096) .*"),
		"Content-Length is computed for bodies up to 2 KiB, not 4 KiB."},
	{"HTTP/1.1", all("announced response trailers|response trailers without a body|trailers of HEAD"),
		"A response with trailers has no Content-Length, and one to HEAD no trailers but the field Trailer."},
	{"HTTP/1.1", all("response with (line break|NUL) in a value"),
		"A field value that is not valid is sent, with line breaks made spaces, and may make the client refuse the response; HTTP/2 and HTTP/3 leave the field out."},
	{"HTTP/1.1", all("response with .*Content-Length.*"),
		"After an invalid Content-Length the body goes in chunks, without a length."},
	{"HTTP/1.1", all("Hijack"),
		"Handlers can take over the connection, by http.Hijacker; for HTTP/3 see AcceptTunnel and WebSocketHandler."},
	{"HTTP/1.1", all("opaque 0"),
		"A request target may be a whole URL."},
	{"HTTP/1.1", all("host [0125]"),
		"The client mends an invalid Host, instead of refusing it, and leaves out the zone of an IPv6 address."},
}

// difference returns the one that covers a case, nil if there is none.
func differenceOf(proto, name string) *difference {
	for i, d := range differences {
		if d.proto == proto && d.cases.MatchString(name) {
			return &differences[i]
		}
	}
	return nil
}

func TestDifferencesAreExplained(t *testing.T) {
	page, err := os.ReadFile("../docs/NETHTTP.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(string(page), "`", "")), " ")
	for _, d := range differences {
		if !strings.Contains(text, d.reason) {
			t.Errorf("docs/NETHTTP.md does not say: %s", d.reason)
		}
	}
}
