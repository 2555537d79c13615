package quic

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

func tokenID(rnd *rand.Rand) (id TokenID) {
	binary.BigEndian.PutUint64(id[:], rnd.Uint64())
	binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
	return id
}

func attemptID(n int) ConnectionID {
	return wire.NewConnectionID(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// A store takes as many tokens as it was made for, or nearly; when it is full it says no, until some have expired.
func TestTokenStoreBound(t *testing.T) {
	const size = 1024
	s := NewTokenStore(size)
	rnd := rand.New(rand.NewPCG(1, 2))
	expires := demuxNow.Add(time.Hour)
	var ids []TokenID
	taken := 0
	for range 20 * size {
		id := tokenID(rnd)
		if s.Use(demuxNow, id, attemptID(1), expires) {
			taken++
			ids = append(ids, id)
		}
	}
	if taken < size/2 || taken > size {
		t.Errorf("%d of %d taken", taken, size)
	}
	for _, id := range ids {
		if !s.Use(demuxNow, id, attemptID(1), expires) || s.Use(demuxNow, id, attemptID(2), expires) {
			t.Fatal("a token was forgotten")
		}
	}
	later := expires.Add(time.Second)
	again := 0
	for range size / 2 {
		if s.Use(later, tokenID(rnd), attemptID(1), later.Add(time.Hour)) {
			again++
		}
	}
	if again < size/4 {
		t.Errorf("%d taken after the others have expired", again)
	}
}

func TestTokenStoreSmall(t *testing.T) {
	for _, n := range []int{-1, 0, 1, 64} {
		s := NewTokenStore(n).(*memoryTokenStore)
		if len(s.sets)*tokenWays != 64 {
			t.Errorf("%d places for %d", len(s.sets)*tokenWays, n)
		}
	}
}

// Of many routers that get the same token for different attempts at once, one says yes.
func TestTokenStoreConcurrent(t *testing.T) {
	const routers, rounds = 8, 300
	s := NewTokenStore(64)
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range rounds {
		id := tokenID(rnd)
		now := demuxNow.Add(time.Duration(round) * time.Second)
		var start, done sync.WaitGroup
		var yes [routers]bool
		start.Add(1)
		for i := range routers {
			done.Go(func() {
				start.Wait()
				// What was used ten rounds ago has expired, so that places are taken over.
				yes[i] = s.Use(now, id, attemptID(i), now.Add(10*time.Second))
				// Other tokens compete for the same places.
				other := TokenID{byte(i), byte(round)}
				copy(other[:8], id[:8])
				s.Use(now, other, attemptID(i), now.Add(10*time.Second))
			})
		}
		start.Done()
		done.Wait()
		n := 0
		for _, y := range yes {
			if y {
				n++
			}
		}
		if n > 1 {
			t.Fatalf("round %d: %d attempts may use one token", round, n)
		}
	}
}
