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

// kernel is the part of a group that is in the kernel: the sockets of the members by their numbers, and the numbers of those
// who accept connections. The program that reads them is attached to the sockets, and stays as long as one of them does.
type kernel struct {
	sockets, accepting *ebpf.Map
}

// newKernel makes the maps and attaches the program to the group of sockets that socket is in.
func newKernel(x ids, socket syscall.RawConn) (k *kernel, err error) {
	k = &kernel{}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	if k.sockets, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "dunlin_sockets", Type: ebpf.ReusePortSockArray, KeySize: 4, ValueSize: 8, MaxEntries: maxNumber + 1,
	}); err != nil {
		return nil, err
	}
	if k.accepting, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "dunlin_accept", Type: ebpf.Array, KeySize: 4, ValueSize: acceptingSize, MaxEntries: 1,
	}); err != nil {
		return nil, err
	}
	program, err := ebpf.NewProgram(newProgram(x, k.sockets, k.accepting))
	if err != nil {
		return nil, err
	}
	defer program.Close() // the sockets keep it
	if e := socket.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_EBPF, program.FD())
	}); e != nil {
		err = e
	}
	return k, err
}

// add gives a member its socket. When the socket is closed it goes by itself.
func (k *kernel) add(number uint8, socket syscall.RawConn) (err error) {
	if e := socket.Control(func(fd uintptr) { err = k.sockets.Put(uint32(number), uint64(fd)) }); e != nil {
		return e
	}
	return err
}

// setAccepting says who accepts connections.
func (k *kernel) setAccepting(numbers []byte) error {
	var v [acceptingSize]byte
	binary.NativeEndian.PutUint32(v[acceptingCount:], uint32(copy(v[acceptingNumbers:], numbers)))
	return k.accepting.Put(uint32(0), v[:])
}

func (k *kernel) close() {
	if k != nil {
		k.sockets.Close() // a nil map too
		k.accepting.Close()
	}
}

// patience is how long a member waits for another's answer.
const patience = 2 * time.Second

// errNoMaps says that a member that is there does without the kernel, so that all must.
var errNoMaps = errors.New("a member of the group has no part in the kernel")

// askKernel asks the member at a Unix socket for the maps.
func askKernel(name string) (*kernel, error) {
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
	rights := make([]byte, unix.CmsgSpace(2*4))
	_, n, _, _, err := c.ReadMsgUnix(answer[:], rights)
	if err != nil {
		return nil, err
	}
	fds, err := parseRights(rights[:n])
	if err != nil {
		return nil, err
	}
	if answer[0] != askForMaps || len(fds) != 2 {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, errNoMaps
	}
	k := &kernel{}
	if k.sockets, err = ebpf.NewMapFromFD(fds[0]); err != nil {
		unix.Close(fds[1])
		return nil, err
	}
	if k.accepting, err = ebpf.NewMapFromFD(fds[1]); err != nil {
		k.close()
		return nil, err
	}
	if k.sockets.Type() != ebpf.ReusePortSockArray || k.accepting.ValueSize() != acceptingSize {
		k.close()
		return nil, errors.New("the group's maps are of another make")
	}
	return k, nil
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
			return fds, fmt.Errorf("steering: %w", err)
		}
		fds = append(fds, more...)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	return fds, nil
}

// answer sends the maps, if there are any, to a member that asks for them.
func (k *kernel) answer(c *net.UnixConn) error {
	var rights []byte
	if k != nil {
		rights = unix.UnixRights(k.sockets.FD(), k.accepting.FD())
	}
	_, _, err := c.WriteMsgUnix([]byte{askForMaps}, rights, nil)
	return err
}
