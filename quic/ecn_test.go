package quic

import "testing"

// RFC 9000, Section 13.4: packets are marked as long as the path keeps the marks, and a mark of congestion counts as one.
// RFC 9000, Section 13.4.1 (MUST 1).
func TestECN(t *testing.T) {
	for side := range Side(2) {
		for _, tt := range []struct {
			name  string
			mark  func(e ECN) ECN
			keeps bool
		}{
			{"kept", func(e ECN) ECN { return e }, true},
			{"cleared", func(ECN) ECN { return NotECT }, false},
			{"changed", func(e ECN) ECN { return ECT1 }, false},
		} {
			t.Run(tt.name+"/"+side.String(), func(t *testing.T) {
				var last ECN
				p := newTestPair(t, func(p *testPair) {
					p.mark = func(from Side, e ECN) ECN {
						if from == side {
							last = e
							return tt.mark(e)
						}
						return e
					}
				})
				p.poll(Client)
				if side == Client && last != ECT0 {
					t.Errorf("the first datagram is marked %d", last)
				}
				p.establish()
				p.transfer(side, 1<<20)
				if keeps := last == ECT0; keeps != tt.keeps {
					t.Errorf("marked %d in the end", last)
				}
			})
		}
	}
}

// RFC 9002, Section 7.3.1 (MUST 1).
func TestECNCongestion(t *testing.T) {
	var cwnd [2]int
	for i, ce := range []bool{false, true} {
		n := 0
		p := newTestPair(t, func(p *testPair) {
			p.mark = func(from Side, e ECN) ECN {
				if n++; ce && from == Server && e == ECT0 && n%10 == 0 {
					return CE
				}
				return e
			}
		})
		p.establish()
		p.transfer(Server, 2<<20)
		st := p.conn[Server].Stats()
		cwnd[i] = st.Cwnd
		if st.PacketsLost > 0 {
			t.Errorf("%d packets lost", st.PacketsLost)
		}
	}
	if cwnd[1] > cwnd[0]/2 {
		t.Errorf("congestion window %d without and %d with marks of congestion", cwnd[0], cwnd[1])
	}
}
