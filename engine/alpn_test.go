package engine

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

func TestByProtocol(t *testing.T) {
	chosen := make(map[string]int)
	app := func(name string) NewApplicationFunc {
		return func(ConnInfo) (ApplicationOverQUIC, error) {
			chosen[name]++
			return Base{}, nil
		}
	}
	f := ByProtocol(map[string]NewApplicationFunc{"a": app("a"), "b": app("b")})
	for _, protocol := range []string{"a", "b", "b"} {
		if _, err := f(ConnInfo{TLS: &tls.ConnectionState{NegotiatedProtocol: protocol}}); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
	}
	if chosen["a"] != 1 || chosen["b"] != 2 {
		t.Errorf("chosen: %v", chosen)
	}
	for _, info := range []ConnInfo{{}, {TLS: &tls.ConnectionState{NegotiatedProtocol: "c"}}} {
		_, err := f(info)
		if e, ok := errors.AsType[*quic.TransportError](err); !ok || e.Code != quic.CryptoError+120 {
			t.Errorf("another protocol: %v", err)
		}
	}
}
