package recovery

import "github.com/dunlin-quic/dunlin/internal/monotime"

// state is what is known of a packet that was sent.
type state uint8

const (
	outstanding state = iota
	acked
	lost    // kept for a while: an acknowledgment that comes after all shows that the loss was none
	skipped // a packet number that was never used
)

// Internal flags beside the exported ones.
const (
	// requeued: the packet's frames were told lost, so that a probe can carry them, but the packet was not.
	requeued Flags = 1 << (iota + 6)
	// appLimited: the application had too little to send. Only set where the controller wants delivery rates.
	appLimited
)

// sentPacket is one slot of the ring. It holds no pointers and is 24 bytes.
type sentPacket struct {
	sent   monotime.Time
	frames uint32 // index of the first of its records
	count  uint16 // number of its records
	size   uint16
	jump   uint32 // if acknowledged or skipped: so many packet numbers from this one on are
	state  state
	flags  Flags
	epoch  uint8 // if lost: in which recovery period, modulo 256
}

const (
	minRing = 16
	// keepRing is how many slots a ring may keep while a packet is outstanding.
	keepRing = 128
	// maxOutstanding is how many packets may wait for their fate while more are sent under congestion control. At 1,200
	// bytes it is a window of 75 MiB.
	maxOutstanding = 1 << 16
	// maxSlots bounds the ring whatever happens: beyond it the oldest packet is forgotten. Only packets that congestion
	// control does not hold back get there, such as ACKs to a peer that never acknowledges anything.
	maxSlots = 2 * maxOutstanding
	// maxRecords is how many frames may wait for their fate while more are sent under congestion control.
	maxRecords = 1 << 18
)

// sentRing holds the packets numbered base up to, not including, next, in a power-of-two ring indexed by packet number,
// and their frames in a second ring in order of sending. Steady sending allocates nothing, and all that a packet costs
// is its slot and its records.
type sentRing struct {
	packets []sentPacket
	// snapshots is nil where no controller wants delivery rates.
	snapshots *snapshots
	base      uint64 // lowest packet number held
	oldest    uint64 // lowest packet number that is outstanding; next if none is
	next      uint64 // the next packet number

	records    []Frame
	recordTail uint32 // index of the first record held: the indices count on and wrap around the ring
	recordHead uint32 // index of the next record
	building   uint32 // index of the first record of the packet being built
}

func (r *sentRing) at(pn uint64) *sentPacket { return &r.packets[pn&uint64(len(r.packets)-1)] }

func (r *sentRing) record(f Frame) {
	if int(r.recordHead-r.recordTail) == len(r.records) {
		r.growRecords()
	}
	r.records[r.recordHead&uint32(len(r.records)-1)] = f
	r.recordHead++
}

// frame returns the i-th record of p.
func (r *sentRing) frame(p *sentPacket, i uint16) Frame {
	return r.records[(p.frames+uint32(i))&uint32(len(r.records)-1)]
}

// push appends the packet being built.
func (r *sentRing) push(p sentPacket) {
	p.frames, p.count = r.building, uint16(r.recordHead-r.building)
	r.building = r.recordHead
	r.append(p)
}

// skip leaves out the next packet number.
func (r *sentRing) skip() {
	r.append(sentPacket{frames: r.building, state: skipped, jump: 1})
}

func (r *sentRing) append(p sentPacket) {
	if r.next-r.base == uint64(len(r.packets)) {
		r.growPackets()
	}
	*r.at(r.next) = p
	if r.snapshots != nil {
		*r.snapshots.at(r.next) = r.snapshots.building
	}
	r.next++
}

// pop forgets the lowest packet, which must not be outstanding.
func (r *sentRing) pop() {
	p := r.at(r.base)
	r.recordTail = p.frames + uint32(p.count)
	r.base++
}

// popHistory forgets all packets below the oldest outstanding one.
func (r *sentRing) popHistory() {
	for r.base < r.oldest {
		r.pop()
	}
}

// atBound reports whether the next packet has no room until the oldest outstanding one is settled.
func (r *sentRing) atBound() bool { return r.next-r.oldest >= maxSlots }

// growPackets makes room for one packet more: by forgetting packets whose fate is known if these are many, else by
// doubling the ring.
func (r *sentRing) growPackets() {
	n := len(r.packets)
	if history := r.oldest - r.base; history > 0 && (history >= uint64(n/2) || n >= maxSlots) {
		r.popHistory()
		return
	}
	r.movePackets(max(minRing, 2*n))
}

// growRecords makes room for one record more, in the same way.
func (r *sentRing) growRecords() {
	n := len(r.records)
	if history := r.outstandingRecords() - r.recordTail; history > 0 && history >= uint32(n/2) {
		r.popHistory()
		return
	}
	r.moveRecords(max(minRing, 2*n))
}

// outstandingRecords returns the index of the first record that belongs to an outstanding packet or a later one.
func (r *sentRing) outstandingRecords() uint32 {
	if r.oldest < r.next {
		return r.at(r.oldest).frames
	}
	return r.building
}

// full reports whether congestion-controlled sending must wait for acknowledgments because of the memory that it takes.
func (r *sentRing) full() bool {
	return r.next-r.oldest >= maxOutstanding || r.recordHead-r.outstandingRecords() >= maxRecords
}

// slack reports whether shrink would give memory back.
func (r *sentRing) slack() bool {
	return len(r.packets) > keepRing && r.next-r.oldest <= uint64(len(r.packets)/4) ||
		len(r.records) > keepRing && r.recordHead-r.outstandingRecords() <= uint32(len(r.records)/4)
}

// forget forgets all packets and gives back all memory. It must not be called while a packet is being built.
func (r *sentRing) forget() {
	*r = sentRing{base: r.next, oldest: r.next, next: r.next, snapshots: r.snapshots}
	if r.snapshots != nil {
		*r.snapshots = snapshots{}
	}
}

// shrink moves what is outstanding to rings no larger than it needs.
func (r *sentRing) shrink() {
	r.popHistory()
	packets, records := minRing, minRing
	for uint64(packets) < r.next-r.base {
		packets *= 2
	}
	for uint32(records) < r.recordHead-r.recordTail {
		records *= 2
	}
	if packets < len(r.packets) {
		r.movePackets(packets)
	}
	if records < len(r.records) {
		r.moveRecords(records)
	}
}

// movePackets moves the packets to a ring of n slots.
func (r *sentRing) movePackets(n int) {
	packets := make([]sentPacket, n)
	for pn := r.base; pn < r.next; pn++ {
		packets[pn&uint64(n-1)] = *r.at(pn)
	}
	if r.snapshots != nil {
		r.snapshots.move(r.base, r.next, n)
	}
	r.packets = packets
}

// moveRecords moves the records to a ring of n.
func (r *sentRing) moveRecords(n int) {
	records := make([]Frame, n)
	for i := r.recordTail; i != r.recordHead; i++ {
		records[i&uint32(n-1)] = r.records[i&uint32(len(r.records)-1)]
	}
	r.records = records
}
