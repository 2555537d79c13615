package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseHeaders(t *testing.T) {
	got, err := parseHeaders([]string{"x-one: 1", "X-Two:two", "X-Two: 2", "Accept:", "X-Empty;", "X-Colon: a:b"})
	want := http.Header{"X-One": {"1"}, "X-Two": {"two", "2"}, "Accept": nil, "X-Empty": {""}, "X-Colon": {"a:b"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"", "no colon", ": value", "a b: c", "a: b\nc: d", "a\x00: b"} {
		if _, err := parseHeaders([]string{bad}); err == nil {
			t.Errorf("%q is taken for a header", bad)
		}
	}
}

func TestParseResolve(t *testing.T) {
	p, err := parseResolve([]string{"Example.org:443:192.0.2.1,[2001:db8::1]", "example.org:8443:2001:db8::2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ host, port, want string }{
		{"example.org", "443", "[192.0.2.1:443 [2001:db8::1]:443]"},
		{"EXAMPLE.ORG", "8443", "[[2001:db8::2]:8443]"},
		{"127.0.0.1", "1", "[127.0.0.1:1]"},
	} {
		addrs, err := p.resolve(context.Background(), test.host, test.port)
		if err != nil {
			t.Errorf("%s:%s: %v", test.host, test.port, err)
			continue
		}
		var texts []string
		for _, addr := range addrs {
			texts = append(texts, addr.String())
		}
		if got := "[" + strings.Join(texts, " ") + "]"; got != test.want {
			t.Errorf("%s:%s: got %s, want %s", test.host, test.port, got, test.want)
		}
	}
	for _, bad := range []string{"", "a", "a:1", "a:1:", "a:x:192.0.2.1", "a:65536:192.0.2.1", ":1:192.0.2.1", "a:1:b"} {
		if _, err := parseResolve([]string{bad}); err == nil {
			t.Errorf("%q is taken for an address", bad)
		}
	}
}

func TestParseURLs(t *testing.T) {
	for _, test := range []struct {
		opts     getOptions
		in, want string
	}{
		{getOptions{}, "localhost:4433/x", "https://localhost:4433/x"},
		{getOptions{}, "https://example.org#part", "https://example.org"},
		{getOptions{upload: "dir/file.txt"}, "https://example.org/to/", "https://example.org/to/file.txt"},
		{getOptions{upload: "dir/file.txt"}, "https://example.org", "https://example.org/file.txt"},
		{getOptions{upload: "dir/file.txt"}, "https://example.org/name", "https://example.org/name"},
		{getOptions{upload: "-"}, "https://example.org/to/", "https://example.org/to/"},
		{getOptions{}, "http://example.org/", ""},
		{getOptions{}, "https://", ""},
		{getOptions{}, "https://[::1", ""},
		{getOptions{remoteName: true}, "https://example.org/", ""},
		{getOptions{remoteName: true}, "https://example.org/a/..", ""},
		{getOptions{remoteName: true}, `https://example.org/..%5Cx`, ""},
		{getOptions{outputs: []string{"a", "b"}}, "https://example.org/", ""},
	} {
		urls, err := test.opts.parseURLs([]string{test.in})
		switch {
		case test.want == "" && err == nil:
			t.Errorf("%s: got %s, want an error", test.in, urls[0])
		case test.want != "" && err != nil:
			t.Errorf("%s: %v", test.in, err)
		case test.want != "" && urls[0].String() != test.want:
			t.Errorf("%s: got %s, want %s", test.in, urls[0], test.want)
		}
	}
}

func TestNewRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(file, []byte("of a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name         string
		opts         getOptions
		url          string
		method, body string
		length       int64
		header       http.Header // all of it but User-Agent
		host         string
	}{
		{
			name: "plain", method: "GET", header: http.Header{"Accept": {"*/*"}}, host: "example.org",
		},
		{
			name: "headers", opts: getOptions{reachOptions: reachOptions{headers: []string{"accept:", "host: other.example", "A: 1", "A: 2"}}},
			method: "GET", header: http.Header{"A": {"1", "2"}}, host: "other.example",
		},
		{
			name: "user", url: "https://u:p@example.org/", method: "GET",
			header: http.Header{"Accept": {"*/*"}, "Authorization": {"Basic dTpw"}}, host: "example.org",
		},
		{
			name: "data", opts: getOptions{data: []string{"a=1", "@" + file, "@-"}}, method: "POST",
			body: "a=1&of a file&of standard input", length: 31,
			header: http.Header{"Accept": {"*/*"}, "Content-Type": {"application/x-www-form-urlencoded"}}, host: "example.org",
		},
		{
			name: "empty data", opts: getOptions{data: []string{""}, method: "PATCH"}, method: "PATCH",
			header: http.Header{"Accept": {"*/*"}, "Content-Type": {"application/x-www-form-urlencoded"}}, host: "example.org",
		},
		{
			name: "data of a type", opts: getOptions{data: []string{"{}"}, reachOptions: reachOptions{headers: []string{"Content-Type: application/json"}}},
			method: "POST", body: "{}", length: 2,
			header: http.Header{"Accept": {"*/*"}, "Content-Type": {"application/json"}}, host: "example.org",
		},
		{
			name: "upload", opts: getOptions{upload: file}, method: "PUT", body: "of a file", length: 9,
			header: http.Header{"Accept": {"*/*"}}, host: "example.org",
		},
		{
			name: "upload of a stream", opts: getOptions{upload: "-"}, method: "PUT", body: "of standard input", length: -1,
			header: http.Header{"Accept": {"*/*"}}, host: "example.org",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.url == "" {
				test.url = "https://example.org/"
			}
			u, err := url.Parse(test.url)
			if err != nil {
				t.Fatal(err)
			}
			body, err := test.opts.body(strings.NewReader("of standard input"))
			if err != nil {
				t.Fatal(err)
			}
			header, err := parseHeaders(test.opts.headers)
			if err != nil {
				t.Fatal(err)
			}
			req, err := (&transfer{opts: &test.opts, url: u, header: header, body: body}).newRequest(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if req.Method != test.method || req.ContentLength != test.length || req.Host != test.host {
				t.Errorf("%s, length %d, host %s; want %s, %d, %s", req.Method, req.ContentLength, req.Host, test.method, test.length, test.host)
			}
			req.Header.Del("User-Agent")
			if !reflect.DeepEqual(req.Header, test.header) {
				t.Errorf("header %v, want %v", req.Header, test.header)
			}
			var got []byte
			if req.Body != nil {
				if got, err = io.ReadAll(req.Body); err != nil {
					t.Fatal(err)
				}
			}
			if string(got) != test.body {
				t.Errorf("body %q, want %q", got, test.body)
			}
		})
	}
}

func TestBodyErrors(t *testing.T) {
	dir := t.TempDir()
	for _, opts := range []getOptions{
		{upload: filepath.Join(dir, "none")}, {upload: dir}, {data: []string{"@" + filepath.Join(dir, "none")}},
	} {
		if _, err := opts.body(nil); err == nil {
			t.Errorf("%+v: no error", opts)
		}
	}
	stream := &requestBody{stream: strings.NewReader("once"), size: -1}
	if _, err := stream.open(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.open(); err == nil {
		t.Error("standard input is sent twice")
	}
	stream = &requestBody{stream: strings.NewReader("once"), size: -1}
	tr := &transfer{opts: &getOptions{upload: "-"}, url: &url.URL{Scheme: "https", Host: "host.example"}, body: stream}
	if req, err := tr.newRequest(t.Context()); err != nil || req.GetBody != nil {
		t.Errorf("the transport is told that standard input can be sent again (%v)", err)
	}
}
