package udp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// File returns a duplicate of what the system knows s by, for a process that is to go on with it: as one of exec.Cmd.ExtraFiles, for
// instance, where [FromFile] or [Inherited] finds it. The socket itself stays open until both are closed, though no connection goes along. So datagrams that arrive
// while one server ends and the next begins wait in the socket's buffer, and no connection attempt is lost.
//
// Two processes that read one socket at a time each get a part of its datagrams: the first should have stopped when the
// second begins. Package engine/steering lets a server restart without that pause. Sockets made by [Wrap] of a connection that is no *net.UDPConn, and conduits, have no file.
func File(s Socket) (*os.File, error) {
	if f, ok := s.(interface{ File() (*os.File, error) }); ok {
		return f.File()
	}
	return nil, fmt.Errorf("udp: %T has no file", s)
}

// File implements what [File] looks for.
func (s *portableSocket) File() (*os.File, error) {
	if c, ok := s.pc.(*net.UDPConn); ok {
		return c.File()
	}
	return nil, fmt.Errorf("udp: %T has no file", s.pc)
}

// FromFile makes a socket of a file that stands for a UDP socket, such as one that [File] has made in another process. The file can
// be closed afterwards. cfg may be nil; its ReusePort is of no effect.
func FromFile(f *os.File, cfg *Config) (Socket, error) {
	pc, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	s, err := Wrap(pc, cfg)
	if err != nil {
		pc.Close()
		return nil, err
	}
	return s, nil
}

// firstInherited is the number of the first file that a process is started with beyond the standard ones.
const firstInherited = 3

// Inherited returns the sockets that whoever started this process has left for it, as systemd does (LISTEN_FDS and LISTEN_PID, see
// sd_listen_fds(3)); none if there are none. LISTEN_PID may be missing, for who starts a process by os/exec can't know it before.
// The variables are cleared, so that no child takes them for its own. Files that are no UDP sockets are an error.
func Inherited(cfg *Config) ([]Socket, error) {
	count, pid := os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID")
	os.Unsetenv("LISTEN_FDS")
	os.Unsetenv("LISTEN_PID")
	os.Unsetenv("LISTEN_FDNAMES")
	if count == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1000 {
		return nil, fmt.Errorf("udp: LISTEN_FDS is %q", count)
	}
	var all []Socket
	var errs []error
	for fd := firstInherited; fd < firstInherited+n; fd++ {
		f := os.NewFile(uintptr(fd), "inherited socket "+strconv.Itoa(fd))
		if f == nil {
			errs = append(errs, fmt.Errorf("udp: inherited socket %d: %w", fd, syscall.EBADF))
			continue
		}
		s, err := FromFile(f, cfg)
		f.Close()
		if err != nil {
			errs = append(errs, fmt.Errorf("udp: inherited socket %d: %w", fd, err))
			continue
		}
		all = append(all, s)
	}
	if len(errs) > 0 {
		for _, s := range all {
			s.Close()
		}
		return nil, errors.Join(errs...)
	}
	return all, nil
}
