// Package steering lets several endpoints share UDP addresses, in one process or in many: the workers of a fleet on one
// machine, or the old and the new process of a server that restarts. Each is a [Member] of a group, with sockets of its
// own (SO_REUSEPORT), and every packet finds the member whose connection it belongs to, also after its client has moved
// to another address. New connections go to the members that accept them: one that drains gets no more, so that a restart
// loses neither a connection nor an attempt at one.
//
//	m, err := steering.Join(&steering.Config{Dir: "/run/myserver", Addresses: []string{":4433"}})
//	cfg := &engine.ListenConfig{QUIC: quicConfig, NewApplication: newApplication}
//	m.Configure(&cfg.Endpoint)
//	e, err := engine.NewEndpoint(&cfg.Endpoint, m.Sockets()...)
//	l, err := e.Listen(cfg)    // takes part in new connections from now on
//	...
//	err = e.Shutdown(ctx)      // no new ones any more; returns when those that it has are done
//
// With http3 it is http3.Server.Endpoint that is configured, and http3.NewListener that takes the sockets. To restart, a
// new process joins and listens, and only then the old one shuts down.
//
// # How it works
//
// The members of a group share a folder, where each has a number and a Unix socket, and a key. A connection ID says, to
// those who have the key, which member made it: [Member.Generate] appends the number to random bytes, encrypted by a keyed
// hash of them, so that nobody else can tell two IDs of one member from those of two (RFC 9000, Section 5.1).
//
// Where the kernel permits it (Linux 5.11 or newer, root or CAP_BPF), a program in the kernel reads the
// destination connection ID of each datagram and gives it to its member's socket at once; what bears no such ID, as the
// first packet of a client, goes to one of the members that accept connections. Elsewhere the kernel spreads datagrams by
// their addresses, and a member that gets another's passes it on through the other's Unix socket: whatever is not lost by the
// one is not lost by the other, but it costs a copy and a system call. Datagrams are passed on in any case where one read has
// brought datagrams of several members, and where a packet meets a member that has begun to drain. [Member.Stats] tells
// which way it goes, and how many were passed on. The one thing that does not find its member is the stateless reset of a client, which
// bears no connection ID: then the connection ends by its idle timeout.
//
// # What is trusted
//
// Who may write to the folder is one of the group: it is made with, and must have, permissions that let its owner alone write.
// Members run as one user, as SO_REUSEPORT demands. The folder belongs on a file system of the machine (/run). Its remains
// are harmless: members that died are found out, and their numbers given to others.
//
// The package is for Linux. It is a package of its own because it needs github.com/cilium/ebpf, which nobody else has to
// download.
package steering
