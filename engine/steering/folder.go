//go:build linux

package steering

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// folder is what the members of a group share:
//
//	lock       held (flock) by who joins, leaves, or changes the list of those who accept connections
//	key        32 random bytes, of which the keys of the group are made
//	accepting  the numbers of the members that accept connections, a byte each
//	1 .. 255   the Unix socket of the member of that number
type folder string

const (
	maxNumber = 255
	keyLen    = 32
)

func openFolder(dir string) (folder, error) {
	if dir == "" {
		return "", errors.New("steering: Config.Dir is required")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("steering: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("steering: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("steering: %s: others than the owner may write to the folder", dir)
	}
	// Whoever owns it can let others in.
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return "", fmt.Errorf("steering: %s: the folder is another user's", dir)
	}
	return folder(dir), nil
}

// lockPatience is how long a member waits for others, who hold the lock for moments.
const lockPatience = 10 * time.Second

// lock waits until nobody else holds the folder, and returns what lets it go. It does not wait for ever: a process may have been
// stopped while it held the lock.
func (d folder) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(string(d), "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("steering: %w", err)
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EINTR && err != unix.EWOULDBLOCK || time.Since(began) > lockPatience {
			f.Close()
			return nil, fmt.Errorf("steering: lock of %s: %w", d, err)
		}
	}
}

// key returns the key of the group, which the first member makes. The caller holds the lock.
func (d folder) key() ([]byte, error) {
	name := filepath.Join(string(d), "key")
	key, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		key = make([]byte, keyLen)
		rand.Read(key)
		err = d.replace("key", key)
	}
	if err == nil && len(key) != keyLen {
		err = fmt.Errorf("%s has %d bytes, not %d", name, len(key), keyLen)
	}
	if err != nil {
		return nil, fmt.Errorf("steering: %w", err)
	}
	return key, nil
}

// accepting returns the members that accept connections; none if the list can't be read.
func (d folder) accepting() []byte {
	b, _ := os.ReadFile(filepath.Join(string(d), "accepting"))
	return b
}

// setAccepting replaces the list. The caller holds the lock.
func (d folder) setAccepting(numbers []byte) error {
	if err := d.replace("accepting", numbers); err != nil {
		return fmt.Errorf("steering: %w", err)
	}
	return nil
}

// replace writes a file so that readers see the old one or the new one, and no part of either.
func (d folder) replace(name string, b []byte) error {
	name = filepath.Join(string(d), name)
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// socket returns the name of a member's Unix socket.
func (d folder) socket(number uint8) string {
	return filepath.Join(string(d), strconv.Itoa(int(number)))
}

// listen takes a number, or the lowest free one if it is 0, and listens on its Unix socket. The caller holds the lock.
func (d folder) listen(number uint8) (uint8, *net.UnixListener, error) {
	first, last := 1, maxNumber
	if number != 0 {
		first, last = int(number), int(number)
	}
	for n := first; n <= last; n++ {
		if d.alive(uint8(n)) {
			continue
		}
		name := d.socket(uint8(n))
		_ = os.Remove(name) // what a member has left that died
		l, err := (&net.ListenConfig{Control: ownersAlone}).Listen(context.Background(), "unixpacket", name)
		if err != nil {
			return 0, nil, fmt.Errorf("steering: %w", err)
		}
		return uint8(n), l.(*net.UnixListener), nil
	}
	if number != 0 {
		return 0, nil, fmt.Errorf("steering: %s: member %d is there already", d, number)
	}
	return 0, nil, fmt.Errorf("steering: %s: all %d numbers are taken", d, maxNumber)
}

// ownersAlone has a Unix socket bound with permissions that let its owner alone connect, whatever the process's umask: others may
// well look into the folder.
func ownersAlone(_, _ string, c syscall.RawConn) (err error) {
	if e := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); e != nil {
		return e
	}
	return err
}

// living returns the numbers of the members that there are. The caller holds the lock.
func (d folder) living() (numbers []byte) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name(), 10, 8)
		if err == nil && n != 0 && d.alive(uint8(n)) {
			numbers = append(numbers, uint8(n))
		}
	}
	return numbers
}

// alive reports whether there is a member of that number.
func (d folder) alive(number uint8) bool {
	fd, err := connect(d.socket(number))
	if err != nil {
		return !gone(err)
	}
	unix.Close(fd)
	return true
}

// gone reports whether connect has failed because there is no member. Otherwise it may be there, and busy (EAGAIN), or this process
// has no file descriptor left for it (EMFILE). EINVAL is a name too long for any socket.
func gone(err error) bool {
	return err == unix.ENOENT || err == unix.ECONNREFUSED || err == unix.EINVAL
}

// connect connects to a Unix socket without waiting.
func connect(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	for {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: name})
		if err == nil {
			return fd, nil
		}
		if err != unix.EINTR {
			unix.Close(fd)
			return -1, err
		}
	}
}
