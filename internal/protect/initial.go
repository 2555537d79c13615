package protect

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// InitialSecrets returns the secrets of the Initial packets that answer to dcid, the first destination connection ID that
// the client chose (RFC 9001, Section 5.2).
func InitialSecrets(v wire.Version, dcid wire.ConnectionID) (client, server []byte, err error) {
	of, err := checked(v, AES128GCM)
	if err != nil {
		return nil, nil, err
	}
	common, err := hkdf.Extract(sha256.New, dcid.Bytes(), of.initialSalt)
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
