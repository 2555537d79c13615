package protect

import (
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
	common := HMAC256(of.initialSalt, dcid.Bytes()) // HKDF-Extract
	from := AES128GCM.newSecret(common[:])
	client, server = make([]byte, sha256.Size), make([]byte, sha256.Size)
	from.expand("client in", client)
	from.expand("server in", server)
	return client, server, nil
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
