package blocks

import "testing"

func TestGetChoosesTheSmallestSize(t *testing.T) {
	for _, c := range []struct{ n, want int }{{0, SmallSize}, {1, SmallSize}, {SmallSize, SmallSize},
		{SmallSize + 1, MediumSize}, {MediumSize, MediumSize}, {MediumSize + 1, LargeSize}, {LargeSize, LargeSize}, {10 * LargeSize, LargeSize}} {
		b := Get(c.n)
		if len(b) != c.want || cap(b) != c.want {
			t.Errorf("Get(%d): len %d, cap %d, want %d", c.n, len(b), cap(b), c.want)
		}
		Put(b)
	}
}

func TestPutRefusesForeignMemory(t *testing.T) {
	for _, b := range [][]byte{nil, make([]byte, 100), Get(1)[1:]} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Put accepted a slice of capacity %d", cap(b))
				}
			}()
			Put(b)
		}()
	}
}

func TestNothingIsAllocatedInSteadyState(t *testing.T) {
	for _, n := range []int{SmallSize, MediumSize, LargeSize} {
		if allocs := testing.AllocsPerRun(1000, func() { Put(Get(n)[:0]) }); allocs != 0 {
			t.Errorf("%d bytes: %v allocations per run", n, allocs)
		}
	}
}
