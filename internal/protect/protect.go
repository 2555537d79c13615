package protect

import (
	"errors"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// ErrOpen means that a packet is not authentic under the key it was tried with.
var ErrOpen = errors.New("protect: packet failed authentication")

// Sealer protects the packets that one side sends at one encryption level. It is not safe for concurrent use.
type Sealer struct{ _ int }

// NewSealer returns a Sealer for a secret that TLS gave.
func NewSealer(v wire.Version, s Suite, secret []byte) (*Sealer, error) { panic("skeleton") }

// Seal protects a packet in place: pkt is its header, whose packet number pn takes pnLen bytes at pnOffset, and its
// payload. pkt must have room for Overhead bytes more, and packet number and payload must be at least 4 bytes long
// together. It returns the packet as it goes on the wire.
func (s *Sealer) Seal(pkt []byte, pnOffset, pnLen int, pn uint64) []byte { panic("skeleton") }

// Suite returns the cipher suite.
func (s *Sealer) Suite() Suite { panic("skeleton") }

// Opener removes protection from the packets that one side receives at one encryption level. It is not safe for
// concurrent use.
type Opener struct{ _ int }

// NewOpener returns an Opener for a secret that TLS gave.
func NewOpener(v wire.Version, s Suite, secret []byte) (*Opener, error) { panic("skeleton") }

// Unmask removes header protection in place from a packet whose packet number stands at pnOffset. expected is one more
// than the largest packet number received in the packet number space, 0 if none was. It is false for a packet that is
// too short to have been protected.
func (o *Opener) Unmask(pkt []byte, pnOffset int, expected uint64) (pn uint64, pnLen int, ok bool) {
	panic("skeleton")
}

// Open decrypts in place a packet whose header was unmasked, and returns its payload. payloadOffset is pnOffset+pnLen.
// The only error is ErrOpen.
func (o *Opener) Open(pkt []byte, payloadOffset int, pn uint64) ([]byte, error) { panic("skeleton") }

// Suite returns the cipher suite.
func (o *Opener) Suite() Suite { panic("skeleton") }

// InitialSecrets returns the secrets of the Initial packets that answer to the client's first destination connection
// ID (RFC 9001, Section 5.2).
func InitialSecrets(v wire.Version, dcid wire.ConnectionID) (client, server []byte) {
	panic("skeleton")
}

// NewInitial returns the protection of Initial packets at the server, or else at the client.
func NewInitial(v wire.Version, dcid wire.ConnectionID, server bool) (*Sealer, *Opener) {
	panic("skeleton")
}

// RetryIntegrityTag returns the tag of a Retry packet, where retry is the packet without the tag and odcid the
// destination connection ID of the Initial packet that it answers (RFC 9001, Section 5.8).
func RetryIntegrityTag(v wire.Version, odcid wire.ConnectionID, retry []byte) [wire.RetryTagLen]byte {
	panic("skeleton")
}
