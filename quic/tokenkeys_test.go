package quic

import "testing"

// Servers that share token keys take each other's tokens, also while the keys change, whatever their other keys are.
func TestTokenKeys(t *testing.T) {
	key := func(b byte) [32]byte { return [32]byte{b} }
	makers, err := NewTokenKeys(key(1))
	if err != nil {
		t.Fatal(err)
	}
	others, err := NewTokenKeys(key(1))
	if err != nil {
		t.Fatal(err)
	}
	maker := newDemux(t, DemuxConfig{TokenKeys: makers, StatelessResetKey: &[32]byte{7}})
	other := newDemux(t, DemuxConfig{TokenKeys: others, Retry: RetryAlways})
	for i, tt := range []struct {
		makers, others [][32]byte
		good           bool
	}{
		{[][32]byte{key(1)}, [][32]byte{key(1)}, true},
		{[][32]byte{key(1)}, [][32]byte{key(1), key(2)}, true},
		{[][32]byte{key(2), key(1)}, [][32]byte{key(1), key(2)}, true},
		{[][32]byte{key(2), key(1)}, [][32]byte{key(2)}, true},
		{[][32]byte{key(2)}, [][32]byte{key(3), key(2)}, true},
		{[][32]byte{key(2)}, [][32]byte{key(3)}, false},
	} {
		if err := makers.Set(tt.makers...); err != nil {
			t.Fatal(err)
		}
		if err := others.Set(tt.others...); err != nil {
			t.Fatal(err)
		}
		a := newAttempt()
		a.token = maker.secrets.newToken(demuxNow, Version1, demuxPath.Remote.Addr(), seededRand(byte(i)))
		dec, _ := knock(t, other, demuxNow, demuxPath, a.initial(t), false)
		if good := dec.Kind == NewAttempt && dec.Accept.Validated; good != tt.good {
			t.Errorf("step %d: %+v", i, dec)
		}
	}
	if err := others.Set(); err == nil {
		t.Error("no keys were taken")
	}
	if _, err := NewTokenKeys(); err == nil {
		t.Error("no keys were taken")
	}
}
