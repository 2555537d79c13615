//go:build linux

package steering

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// Config configures a [Member].
type Config struct {
	// Dir is the folder of the group. It is made if it is not there. The file "key" in it makes the IDs and stateless resets
	// of all members, and is kept from one run to the next. Required.
	Dir string
	// Number is that of the member, from 1 to 255; connection IDs bear it. Default: the lowest that no other member has.
	Number uint8
	// Addresses are what all members are bound to, as in udp.Listen: the same for all, in the same order, 16 at most. Required.
	Addresses []string
	// Socket configures the member's sockets; its ReusePort is always true.
	Socket udp.Config
	// NoKernel leaves the kernel out: members pass on what is not theirs. It is for all members of a group or none.
	NoKernel bool
}

// maxAddresses bounds the maps that are passed on in one message.
const maxAddresses = 16

// Member is one of the endpoints that share addresses. Its methods are safe from any goroutine.
type Member struct {
	number   uint8
	dir      folder
	ids      ids
	resetKey [32]byte
	sockets  []udp.Socket // by address
	inlets   []*inlet     // likewise
	box      letterbox
	kernel   *kernel // nil without
	why      error   // why it is nil
	peers    [maxNumber + 1]peer
	draining atomic.Bool
	others   acceptors
	leaving  sync.Once
	left     error

	openInlets        atomic.Int32
	passed, passDrops atomic.Uint64
}

// Stats counts what a [Member] has done.
type Stats struct {
	// Kernel says that the kernel steers; see Member.Kernel.
	Kernel bool
	// Passed counts the datagrams passed on to other members, PassDrops those that were lost because the other's queue was
	// full, and Received and ReceiveDrops what came from others and what was lost of that.
	Passed, PassDrops, Received, ReceiveDrops uint64
}

// errNoKernel stands for Config.NoKernel.
var errNoKernel = errors.New("steering: not by the kernel, says the config")

// Join makes a member of the group, with sockets of its own. Packets may wait in them from now on: let its endpoint listen soon. The
// endpoint that gets the member's sockets ends it; see [Member.Close].
func Join(cfg *Config) (*Member, error) {
	if n := len(cfg.Addresses); n == 0 || n > maxAddresses {
		return nil, fmt.Errorf("steering: %d addresses, not 1 to %d", n, maxAddresses)
	}
	dir, err := openFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	unlock, err := dir.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	m := &Member{dir: dir}
	if err := m.makeKeys(); err != nil {
		return nil, err
	}
	living := dir.living()
	if m.number, m.box.l, err = dir.listen(cfg.Number); err != nil {
		return nil, err
	}
	if err := m.join(cfg, living); err != nil {
		m.kernel.close()
		for _, s := range m.sockets {
			s.Close()
		}
		return nil, errors.Join(err, m.box.l.Close())
	}
	m.openInlets.Store(int32(len(m.inlets)))
	m.box.open(m.kernel, m.deliver)
	return m, nil
}

// join opens the sockets and has the others know of them. The caller holds the folder's lock.
func (m *Member) join(cfg *Config, living []byte) error {
	sc := cfg.Socket
	sc.ReusePort = true
	for _, a := range cfg.Addresses {
		s, err := udp.Listen(a, &sc)
		if err != nil {
			return err
		}
		m.sockets = append(m.sockets, s)
		in, err := newInlet(m, s)
		if err != nil {
			return err
		}
		m.inlets = append(m.inlets, in)
	}
	if m.why = errNoKernel; !cfg.NoKernel {
		m.kernel, m.why = m.joinKernel(living)
	}
	return m.setAccepting(func(numbers []byte) []byte { // those who died do not accept
		return slices.DeleteFunc(numbers, func(n byte) bool { return !slices.Contains(living, n) })
	})
}

func (m *Member) makeKeys() error {
	secret, err := m.dir.key()
	if err != nil {
		return err
	}
	id, err := hkdf.Expand(sha256.New, secret, "dunlin connection IDs", 16)
	if err != nil {
		return err
	}
	reset, err := hkdf.Expand(sha256.New, secret, "dunlin stateless resets", len(m.resetKey))
	m.ids = ids{newSipKey(id)}
	copy(m.resetKey[:], reset)
	return err
}

// joinKernel has the kernel know the member's sockets: in the maps of the members that live, or, if there are none, in new ones.
func (m *Member) joinKernel(living []byte) (k *kernel, err error) {
	var sockets []syscall.RawConn
	for _, s := range m.sockets {
		f, err := udp.File(s)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		rc, err := f.SyscallConn()
		if err != nil {
			return nil, err
		}
		sockets = append(sockets, rc)
	}
	if len(living) == 0 {
		k, err = newKernel(m.ids, sockets)
	}
	for _, n := range living {
		if k, err = askKernel(m.dir.socket(n), len(sockets)); err == nil {
			break
		}
	}
	if err == nil {
		if err = k.add(m.number, sockets); err != nil {
			k.close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("steering: not by the kernel: %w", err)
	}
	return k, nil
}

// deliver gives an inlet what another member has passed on.
func (m *Member) deliver(in udp.Message) {
	for _, i := range m.inlets {
		if i.is(in.Local) {
			i.Deliver(in) // counts what it has no room for
			return
		}
	}
}

// Number returns the member's number.
func (m *Member) Number() uint8 { return m.number }

// Addrs returns the addresses that the group shares.
func (m *Member) Addrs() (all []netip.AddrPort) {
	for _, s := range m.sockets {
		all = append(all, s.LocalAddr())
	}
	return all
}

// Kernel returns nil if the kernel steers, and otherwise why it does not: the system does not permit it (EPERM), for example.
func (m *Member) Kernel() error { return m.why }

// Configure sets the fields of an endpoint's configuration by which it becomes the member: Steering and ConnectionIDs, and
// StatelessResetKey, from which the TokenKeys follow, unless it is set to one that all members have. Tokens are good with all
// members, and once with each, unless they share a TokenStore.
func (m *Member) Configure(cfg *engine.EndpointConfig) {
	cfg.Steering = m
	cfg.ConnectionIDs = m
	if cfg.StatelessResetKey == nil {
		key := m.resetKey
		cfg.StatelessResetKey = &key
	}
}

// Sockets returns the sockets for the endpoint: the member's own, and for each of them one through which it gets what others pass
// on. Give the endpoint all of them: it owns them from then on.
func (m *Member) Sockets() []udp.Socket {
	all := slices.Clone(m.sockets)
	for _, i := range m.inlets {
		all = append(all, i)
	}
	return all
}

// Stats returns the counters.
func (m *Member) Stats() Stats {
	s := Stats{Kernel: m.kernel != nil, Passed: m.passed.Load(), PassDrops: m.passDrops.Load()}
	for _, i := range m.inlets {
		in := i.Stats()
		s.Received += in.DatagramsReceived
		s.ReceiveDrops += in.ReceiveDrops
	}
	return s
}

// Generate implements quic.ConnectionIDGenerator.
func (m *Member) Generate() quic.ConnectionID { return m.ids.make(m.number) }

// Len implements quic.ConnectionIDGenerator.
func (m *Member) Len() int { return idLen }

// VerifyConnectionID implements quic.ConnectionIDVerifier: what is no ID of the group's gets no answer. That of a member that has
// gone does, from any of the others, so that its client learns that the connection is lost.
func (m *Member) VerifyConnectionID(id quic.ConnectionID) bool { return m.ids.owner(id.Bytes()) != 0 }

// Open implements engine.Steering.
func (m *Member) Open() error {
	m.draining.Store(false)
	return m.lockedSetAccepting(func(numbers []byte) []byte { return append(without(numbers, m.number), m.number) })
}

// Drain implements engine.Steering.
func (m *Member) Drain() error {
	m.draining.Store(true)
	return m.lockedSetAccepting(func(numbers []byte) []byte { return without(numbers, m.number) })
}

func without(numbers []byte, n byte) []byte {
	return slices.DeleteFunc(numbers, func(x byte) bool { return x == n })
}

func (m *Member) lockedSetAccepting(change func([]byte) []byte) error {
	unlock, err := m.dir.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return m.setAccepting(change)
}

// setAccepting changes who accepts connections, in the folder and in the kernel. The caller holds the lock.
func (m *Member) setAccepting(change func([]byte) []byte) error {
	numbers := change(m.dir.accepting())
	if err := m.dir.setAccepting(numbers); err != nil {
		return err
	}
	if m.kernel == nil {
		return nil
	}
	if err := m.kernel.setAccepting(numbers); err != nil {
		return fmt.Errorf("steering: %w", err)
	}
	return nil
}

// Close ends a member whose sockets no endpoint has got; otherwise the endpoint's Close does.
func (m *Member) Close() error {
	var errs []error
	for _, s := range m.Sockets() {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// leave is called once the endpoint is done with the member.
func (m *Member) leave() error {
	m.leaving.Do(func() {
		m.left = errors.Join(m.Drain(), m.box.close())
		m.kernel.close()
		for i := range m.peers {
			m.peers[i].close()
		}
	})
	return m.left
}
