//go:build linux

package steering

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// kernel is the part of a group that is in the kernel: for each address the sockets of the members by their numbers, and the
// numbers of those who accept connections. The programs that read them are attached to the sockets, and stay as long as one of
// an address does.
type kernel struct {
	accepting *ebpf.Map
	sockets   []*ebpf.Map
}

// newKernel makes the maps and attaches the programs to the groups of sockets that those of the first member are in.
func newKernel(x ids, sockets []syscall.RawConn) (k *kernel, err error) {
	k = &kernel{}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	if k.accepting, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "dunlin_accept", Type: ebpf.Array, KeySize: 4, ValueSize: acceptingSize, MaxEntries: 1,
	}); err != nil {
		return nil, err
	}
	for _, s := range sockets {
		if err = k.attach(x, s); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// attach makes the map of an address, and attaches the program to the sockets that are or will be bound to it.
func (k *kernel) attach(x ids, socket syscall.RawConn) error {
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "dunlin_sockets", Type: ebpf.ReusePortSockArray, KeySize: 4, ValueSize: 8, MaxEntries: maxNumber + 1,
	})
	if err != nil {
		return err
	}
	k.sockets = append(k.sockets, sockets)
	program, err := ebpf.NewProgram(newProgram(x, sockets, k.accepting))
	if err != nil {
		return err
	}
	defer program.Close() // the sockets keep it
	if e := socket.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_EBPF, program.FD())
	}); e != nil {
		return e
	}
	return err
}

// add gives a member its sockets. One that is closed goes by itself.
func (k *kernel) add(number uint8, sockets []syscall.RawConn) (err error) {
	for i, s := range sockets {
		if e := s.Control(func(fd uintptr) { err = k.sockets[i].Put(uint32(number), uint64(fd)) }); e != nil {
			return e
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setAccepting says who accepts connections.
func (k *kernel) setAccepting(numbers []byte) error {
	var v [acceptingSize]byte
	binary.NativeEndian.PutUint32(v[acceptingCount:], uint32(copy(v[acceptingNumbers:], numbers)))
	return k.accepting.Put(uint32(0), v[:])
}

func (k *kernel) close() {
	if k == nil {
		return
	}
	k.accepting.Close() // a nil map too
	for _, m := range k.sockets {
		m.Close()
	}
}

// patience is how long a member waits for another's answer.
const patience = 2 * time.Second

// errNoMaps says that a member that is there does without the kernel, so that all must.
var errNoMaps = errors.New("a member of the group has no part in the kernel")

// askKernel asks the member at a Unix socket for the maps of a group with so many addresses.
func askKernel(name string, addresses int) (*kernel, error) {
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: name})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte{askForMaps}); err != nil {
		return nil, err
	}
	var answer [1]byte
	rights := make([]byte, unix.CmsgSpace((1+maxAddresses)*4))
	_, n, _, _, err := c.ReadMsgUnix(answer[:], rights)
	if err != nil {
		return nil, err
	}
	fds, err := parseRights(rights[:n])
	if err != nil {
		return nil, err
	}
	maps, err := adopt(fds)
	if err != nil {
		return nil, err
	}
	k := &kernel{}
	if len(maps) > 0 {
		k.accepting, k.sockets = maps[0], maps[1:]
	}
	switch {
	case len(maps) == 0:
		return nil, errNoMaps
	case len(maps) != 1+addresses:
		err = fmt.Errorf("the group has %d addresses, not %d", len(maps)-1, addresses)
	case k.accepting.Type() != ebpf.Array || k.accepting.ValueSize() != acceptingSize:
		err = errors.New("the group's maps are of another make")
	}
	if err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

// adopt makes maps of file descriptors, all or none.
func adopt(fds []int) (maps []*ebpf.Map, err error) {
	for _, fd := range fds {
		var m *ebpf.Map
		if err == nil {
			m, err = ebpf.NewMapFromFD(fd) // which closes it if it fails
		} else {
			unix.Close(fd)
		}
		if m != nil {
			maps = append(maps, m)
		}
	}
	if err != nil {
		for _, m := range maps {
			m.Close()
		}
		return nil, err
	}
	return maps, nil
}

// parseRights returns the file descriptors of a control message; none if there is none.
func parseRights(control []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		more, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			return nil, fmt.Errorf("steering: %w", err)
		}
		fds = append(fds, more...)
	}
	return fds, nil
}

// answer sends the maps, if there are any, to a member that asks for them.
func (k *kernel) answer(c *net.UnixConn) error {
	var rights []byte
	if k != nil {
		fds := []int{k.accepting.FD()}
		for _, m := range k.sockets {
			fds = append(fds, m.FD())
		}
		rights = unix.UnixRights(fds...)
	}
	_, _, err := c.WriteMsgUnix([]byte{askForMaps}, rights, nil)
	return err
}
