package interop

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"testing"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/internal/udpproxy"
	"github.com/dunlin-quic/dunlin/quic"
)

// ngtcp2 1.11's client and Dunlin's server.
func TestDebian13Gtlsclient(t *testing.T) {
	const size = 20e6
	for _, tt := range []struct {
		name   string
		args   []string
		config quic.Config
		retry  quic.RetryPolicy
		upload bool
		log    string // patterns that the client's log must match
		check  func(t *testing.T, server *observed, seen sightings)
	}{
		{name: "version 2 from the first packet", args: []string{"--version=v2"},
			check: func(t *testing.T, _ *observed, seen sightings) {
				if !seen.asked[quic.Version2] || len(seen.asked) != 1 || !seen.answered[quic.Version2] {
					t.Errorf("%+v", seen)
				}
			}},
		{name: "from version 1 to version 2", args: []string{"--available-versions=v2,v1", "--preferred-versions=v2,v1"},
			check: func(t *testing.T, _ *observed, seen sightings) {
				if !seen.asked[quic.Version1] || !seen.answered[quic.Version2] || seen.negotiations > 0 {
					t.Errorf("%+v", seen)
				}
			}},
		{name: "Version Negotiation to version 2", args: []string{"--version=0x0a1a2a3a", "--preferred-versions=v2,v1"},
			check: func(t *testing.T, _ *observed, seen sightings) {
				if seen.negotiations != 1 || !seen.answered[quic.Version2] {
					t.Errorf("%+v", seen)
				}
			}},
		{name: "key update", args: []string{"--key-update=1ms"}, log: `pkt rx pkn=\d+ dcid=\S+ type=1RTT k=1`,
			check: func(t *testing.T, server *observed, _ sightings) {
				if server.stats()[0].KeyUpdates == 0 {
					t.Error("the server has not followed the key update")
				}
			}},
		{name: "migration", args: []string{"--change-local-addr=5ms"},
			log: `(?s)frm rx \d+ 1RTT PATH_CHALLENGE.*Path validation against path .* succeeded|` +
				`(?s)Path validation against path .* succeeded.*frm rx \d+ 1RTT PATH_CHALLENGE`},
		// A client that has nothing to send stays where nobody finds it: so it is an upload.
		{name: "NAT rebinding", args: []string{"--change-local-addr=5ms", "--nat-rebinding"}, upload: true,
			log: `(?s)Local address is now.*frm rx \d+ 1RTT PATH_CHALLENGE.*frm tx \d+ 1RTT PATH_RESPONSE`},
		{name: "Retry", retry: quic.RetryAlways},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := newJail(t)
			server := observe(t, newHandler(), &tt.config, tt.retry)
			seen := tap(t, server.addr, udpproxy.Config{})
			out := j.gtlsclient(t, seen.addr(), size, tt.upload, tt.args...)
			if !regexp.MustCompile(tt.log).Match(out) {
				t.Errorf("%s does not match gtlsclient's log:\n%s", tt.log, tail(out))
			}
			if tt.retry == quic.RetryAlways {
				seen.checkRetry(t)
			}
			if tt.check != nil {
				tt.check(t, server, seen.sightings())
			}
			if n := len(server.stats()); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// gtlsclient downloads that much of content, or uploads it, and returns the client's log.
func (j *jail) gtlsclient(t *testing.T, addr netip.AddrPort, size int64, upload bool, args ...string) []byte {
	t.Helper()
	url := contentURL(addr, size)
	if upload {
		writeContent(t, j.outside("body"), size)
		args = append(args, "-m", "PUT", "-d", j.inside("body"))
		url = "https://localhost:" + portOf(addr) + "/upload"
	}
	args = append(args, "--no-quic-dump", "--no-http-dump", "--exit-on-all-streams-close", "--download="+j.folder, "127.0.0.1", portOf(addr), url)
	out := j.run(t, "/usr/bin/gtlsclient", args...)
	if !upload {
		checkFile(t, j.outside(fmt.Sprint(size)), size)
		return out
	}
	answer, err := os.ReadFile(j.outside("upload"))
	if want := fmt.Sprintf("%d %s", size, contentSum(size)); err != nil || string(answer) != want {
		t.Errorf("the answer to an upload: %q, %v; want %q", answer, err, want)
	}
	return out
}

// A second connection of ngtcp2's client with what the first one brought: a session for early data, and a token that spares
// it the Retry packet.
func TestDebian13GtlsclientReturns(t *testing.T) {
	j := newJail(t)
	server := observe(t, newHandler(), &quic.Config{EarlyData: true}, quic.RetryAlways)
	seen := tap(t, server.addr, udpproxy.Config{})
	args := []string{"--session-file=" + j.inside("session"), "--tp-file=" + j.inside("parameters"), "--token-file=" + j.inside("token")}
	j.gtlsclient(t, seen.addr(), 1e5, false, append(args, "--wait-for-ticket")...)
	if first := seen.sightings(); first.retries != 1 || first.early != 0 {
		t.Errorf("on the first connection: %+v", first)
	}
	out := j.gtlsclient(t, seen.addr(), 1e5, false, args...)
	if both := seen.sightings(); both.retries != 1 || both.early == 0 || server.resumptions() != 1 {
		t.Errorf("on both connections: %+v; %d resumptions", both, server.resumptions())
	}
	if regexp.MustCompile("Early data was rejected").Match(out) {
		t.Error("early data was rejected")
	}
}

// ngtcp2 1.11's client moves to the preferred address of Dunlin's server.
func TestDebian13GtlsclientPreferredAddress(t *testing.T) {
	j := newJail(t)
	preferred := freeAddr(t)
	server := observe(t, newHandler(), &quic.Config{PreferredAddress: quic.PreferredAddress{IPv4: preferred}}, quic.RetryUnderLoad, "127.0.0.1:0", preferred.String())
	out := j.gtlsclient(t, server.addr, 20e6, false)
	want := fmt.Sprintf(`Path validation against path \{local:\S+ remote:\[127.0.0.1\]:%d\} succeeded`, preferred.Port())
	if !regexp.MustCompile(want).Match(out) {
		t.Errorf("%s does not match gtlsclient's log:\n%s", want, tail(out))
	}
}

// Dunlin's client and ngtcp2 1.11's server.
func TestDebian13Gtlsserver(t *testing.T) {
	const size = 20e6
	for _, tt := range []struct {
		name   string
		args   []string
		config quic.Config
		use    func(t *testing.T, client *driven, seen *wiretap)
	}{
		{name: "version 1", config: quic.Config{Versions: []quic.Version{quic.Version1}}, use: wantVersion(size, quic.Version1, quic.Version1)},
		{name: "version 2 from the first packet", config: quic.Config{OriginalVersion: quic.Version2},
			use: wantVersion(size, quic.Version2, quic.Version2)},
		{name: "from version 1 to version 2", args: []string{"--preferred-versions=v2,v1"}, use: wantVersion(size, quic.Version1, quic.Version2)},
		{name: "key update", use: func(t *testing.T, client *driven, _ *wiretap) {
			client.get(t, "/content", size, func() { client.updateKeys(t) })
			if n := client.Stats().KeyUpdates; n == 0 {
				t.Error("the keys were not updated")
			}
		}},
		{name: "Retry", args: []string{"--validate-addr"}, use: func(t *testing.T, client *driven, seen *wiretap) {
			client.get(t, "/content", size, nil)
			seen.checkRetry(t)
		}},
		{name: "NAT rebinding", use: func(t *testing.T, client *driven, seen *wiretap) {
			client.get(t, "/content", size, seen.relay.Rebind)
			if client.Stats().PathChallengesReceived == 0 {
				t.Error("the server has not validated the new path")
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := newJail(t)
			seen := tap(t, j.gtlsserver(t, size, tt.args...), udpproxy.Config{})
			tt.config.TLS = &tls.Config{RootCAs: testIdentity(t).pool}
			tt.use(t, drive(t, seen.addr(), &tt.config), seen)
		})
	}
}

// Dunlin's client moves to another port in a transfer.
func TestDebian13GtlsserverMigration(t *testing.T) {
	j := newJail(t)
	migrates(t, j.gtlsserver(t, 20e6), "/content", 20e6, nil)
}

// Dunlin's client moves to the preferred address of ngtcp2 1.11's server.
func TestDebian13GtlsserverPreferredAddress(t *testing.T) {
	j := newJail(t)
	preferred := freeAddr(t)
	client := drive(t, j.gtlsserver(t, 20e6, "--preferred-ipv4-addr="+preferred.String()), &quic.Config{TLS: &tls.Config{RootCAs: testIdentity(t).pool}})
	client.get(t, "/content", 20e6, nil)
	var path quic.Path
	if err := client.Do(func(s *engine.Session) { path = s.Conn().Path() }); err != nil || path.Remote != preferred {
		t.Errorf("the path is %v, %v; the preferred address %v", path, err, preferred)
	}
}

// gtlsserver serves that much of content as /content until the test ends.
func (j *jail) gtlsserver(t *testing.T, size int64, args ...string) netip.AddrPort {
	t.Helper()
	writeContent(t, j.outside("content"), size)
	addr := freeAddr(t)
	j.start(t, addr, "/usr/sbin/gtlsserver", append(append([]string{"-q", "-d", j.folder}, args...), "127.0.0.1", portOf(addr), j.key(), j.cert())...)
	return addr
}

// wantVersion returns a use of a client that fetches /content, and checks the versions asked for and spoken.
func wantVersion(size int64, asked, want quic.Version) func(*testing.T, *driven, *wiretap) {
	return func(t *testing.T, client *driven, seen *wiretap) {
		client.get(t, "/content", size, nil)
		got, _ := client.state(t)
		if s := seen.sightings(); got != want || !s.asked[asked] || !s.answered[want] || s.negotiations > 0 {
			t.Errorf("version %v; on the path %+v", got, s)
		}
	}
}

func (d *driven) updateKeys(t *testing.T) {
	t.Helper()
	var updated bool
	if err := d.Do(func(s *engine.Session) { updated = s.Conn().InitiateKeyUpdate() }); err != nil || !updated {
		t.Errorf("no key update: %v", err)
	}
}
