package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// requestBody is what a request sends: bytes, a file, or a stream that can be read once.
type requestBody struct {
	data   []byte
	file   string
	stream io.Reader
	size   int64 // -1 if unknown
	form   bool  // sent as a form unless a header says otherwise

	mu sync.Mutex // guards stream
}

// open returns the body from its start.
func (b *requestBody) open() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.file != "":
		return os.Open(b.file)
	case b.data != nil:
		return io.NopCloser(bytes.NewReader(b.data)), nil
	case b.stream == nil:
		return nil, errors.New("standard input can be sent once only")
	}
	stream := b.stream
	b.stream = nil
	return io.NopCloser(stream), nil
}

// joinData reads the arguments of -d.
func joinData(args []string, stdin io.Reader) (*requestBody, error) {
	parts := make([][]byte, len(args))
	for i, arg := range args {
		name, isFile := strings.CutPrefix(arg, "@")
		var err error
		switch {
		case !isFile:
			parts[i] = []byte(arg)
		case name == "-":
			parts[i], err = io.ReadAll(stdin)
		default:
			parts[i], err = os.ReadFile(name)
		}
		if err != nil {
			return nil, err
		}
	}
	data := bytes.Join(parts, []byte("&"))
	if data == nil {
		data = []byte{}
	}
	return &requestBody{data: data, size: int64(len(data)), form: true}, nil
}

// parseHeaders reads the arguments of -H. A name without a value means that the header is left out: its value is nil.
// "NAME;" sends it empty.
func parseHeaders(args []string) (http.Header, error) {
	header := make(http.Header)
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, ":")
		if empty, found := strings.CutSuffix(arg, ";"); !ok && found {
			name, ok = empty, true
			header[http.CanonicalHeaderKey(name)] = []string{""}
		}
		value = strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("-H %q is not of the form 'NAME: VALUE'", arg)
		}
		key := http.CanonicalHeaderKey(name)
		if _, seen := header[key]; value != "" {
			header[key] = append(header[key], value)
		} else if !seen {
			header[key] = nil
		}
	}
	return header, nil
}

// pins are addresses that the user gave for names, by "host:port".
type pins map[string][]netip.AddrPort

// parseResolve reads the arguments of --resolve, HOST:PORT:ADDRESS[,ADDRESS]..., as curl does.
func parseResolve(args []string) (pins, error) {
	p := make(pins)
	for _, arg := range args {
		host, rest, _ := strings.Cut(arg, ":")
		port, addresses, ok := strings.Cut(rest, ":")
		number, err := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil || host == "" {
			return nil, fmt.Errorf("--resolve %q is not of the form HOST:PORT:ADDRESS", arg)
		}
		key := net.JoinHostPort(strings.ToLower(host), port)
		for text := range strings.SplitSeq(addresses, ",") {
			addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
			if err != nil {
				return nil, fmt.Errorf("--resolve %q: %q is no IP address", arg, text)
			}
			p[key] = append(p[key], netip.AddrPortFrom(addr, uint16(number)))
		}
	}
	return p, nil
}

// resolve is an http3.Transport's Resolve: the pinned addresses, else the system's.
func (p pins) resolve(ctx context.Context, host, port string) ([]netip.AddrPort, error) {
	if pinned := p[net.JoinHostPort(strings.ToLower(host), port)]; pinned != nil {
		return pinned, nil
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", port, err)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	found := make([]netip.AddrPort, len(addrs))
	for i, addr := range addrs {
		found[i] = netip.AddrPortFrom(addr.Unmap(), uint16(number))
	}
	return found, nil
}

// newRequest puts a request together from the flags.
func (t *transfer) newRequest(ctx context.Context) (*http.Request, error) {
	method := t.opts.method
	if method == "" {
		method = http.MethodGet
		if t.body != nil {
			method = http.MethodPost
			if t.opts.upload != "" {
				method = http.MethodPut
			}
		}
	}
	req, err := newRequest(ctx, method, t.url, t.header, t.body)
	if err != nil || t.body == nil {
		return req, err
	}
	req.ContentLength = t.body.size
	if t.body.file != "" || t.body.data != nil {
		req.GetBody = t.openBody
	}
	req.Body, err = t.openBody()
	return req, err
}

// newRequest makes a request, as yet without its body, from a URL and the flags -H. body may be nil.
func newRequest(ctx context.Context, method string, u *url.URL, header http.Header, body *requestBody) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "dunlin/"+version())
	req.Header.Set("Accept", "*/*")
	if body != nil && body.form {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if user := u.User; user != nil {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	for name, values := range header {
		switch {
		case name == "Host" && len(values) > 0:
			req.Host = values[0]
		case name == "User-Agent" && values == nil:
			req.Header.Set(name, "") // net/http's way of sending none
		case values == nil:
			req.Header.Del(name)
		default:
			req.Header[name] = values
		}
	}
	return req, nil
}

// openBody opens the body so that the progress bar sees what is read.
func (t *transfer) openBody() (io.ReadCloser, error) {
	body, err := t.body.open()
	if err != nil {
		return nil, err
	}
	return &countedBody{ReadCloser: body, count: t.bar.add}, nil
}

// countedBody tells of what is read.
type countedBody struct {
	io.ReadCloser
	count func(n int)
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.count(n)
	return n, err
}
