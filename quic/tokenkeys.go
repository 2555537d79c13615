package quic

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// TokenKeys are the keys of address-validation tokens, for those who share them between the servers of a fleet or change
// them while servers run. All methods are safe for concurrent use.
type TokenKeys struct {
	all atomic.Pointer[[]cipher.AEAD]
}

// NewTokenKeys returns keys as Set takes them.
func NewTokenKeys(keys ...[32]byte) (*TokenKeys, error) {
	k := new(TokenKeys)
	return k, k.Set(keys...)
}

// Set replaces the keys: the first one, of at least one, makes tokens, and those that any of them made are good. So a fleet
// that changes its keys gives every server the new one as a further one first.
func (k *TokenKeys) Set(keys ...[32]byte) error {
	if len(keys) == 0 {
		return errors.New("quic: no token key")
	}
	all := make([]cipher.AEAD, len(keys))
	for i := range keys {
		// No connection ID is as long as the label, so that no stateless reset token of the same key tells anything about
		// the one that is used.
		key, err := hkdf.Expand(sha256.New, keys[i][:], "dunlin address validation token", chacha20poly1305.KeySize)
		if err != nil {
			return err
		}
		if all[i], err = chacha20poly1305.NewX(key); err != nil {
			return err
		}
	}
	k.all.Store(&all)
	return nil
}

func (k *TokenKeys) seal(dst, nonce, text, aad []byte) []byte {
	return (*k.all.Load())[0].Seal(dst, nonce, text, aad)
}

func (k *TokenKeys) open(nonce, sealed, aad []byte) (text []byte, ok bool) {
	for _, key := range *k.all.Load() {
		if text, err := key.Open(nil, nonce, sealed, aad); err == nil {
			return text, true
		}
	}
	return nil, false
}
