package protect

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// initialSalt is version 1's (RFC 9001, Section 5.2).
var initialSalt = []byte{
	0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
}

// InitialSecrets returns the secrets of the Initial packets that answer to dcid, the first destination connection ID that
// the client chose (RFC 9001, Section 5.2).
func InitialSecrets(v wire.Version, dcid wire.ConnectionID) (client, server []byte, err error) {
	if !v.Known() {
		return nil, nil, fmt.Errorf("protect: unknown QUIC version %v", v)
	}
	common, err := hkdf.Extract(sha256.New, dcid.Bytes(), initialSalt)
	if err != nil {
		return nil, nil, err
	}
	from := AES128GCM.newSecret(common)
	return from.expand("client in", sha256.Size), from.expand("server in", sha256.Size), nil
}

// NewInitial returns the protection of Initial packets at the server, or else at the client.
func NewInitial(v wire.Version, dcid wire.ConnectionID, server bool) (*Sealer, *Opener, error) {
	own, peer, err := InitialSecrets(v, dcid)
	if err != nil {
		return nil, nil, err
	}
	if server {
		own, peer = peer, own
	}
	s, errS := NewSealer(v, AES128GCM, own)
	o, errO := NewOpener(v, AES128GCM, peer)
	return s, o, errors.Join(errS, errO)
}
