package main

import (
	"slices"
	"strings"
)

// room is a group of packages with the same rights.
type room struct {
	name     string
	packages []string // paths below the module's; a trailing "/..." takes in what lies below
	may      []string // the other rooms that it may import
	netHTTP  bool     // it may import net/http
	anything bool     // it may import modules other than golang.org/x
	why      string   // said with every violation
}

// leaves may be imported by every room.
const leaves = "leaves"

// core is what the sans-IO packages are made of: internal packages that no other room claims.
const core = "core"

// rooms is the drawing of ARCHITECTURE.md as a table, from the bottom up: an import goes down or to the leaves.
var rooms = []room{
	{
		name: leaves, packages: []string{"qlog/...", "metrics/..."},
		why: "qlog and metrics are leaves, which everyone may import and which know nobody",
	},
	{
		name: "lint", packages: []string{"internal/archlint/...", "internal/musts/..."},
		why: "the linters know nobody and nobody knows them",
	},
	{
		name: "udp", packages: []string{"udp/..."}, may: []string{leaves},
		why: "udp makes sockets fast and knows no QUIC",
	},
	{
		name: "testnet", packages: []string{"internal/udpproxy/..."}, may: []string{leaves},
		why: "the impairing proxy sees datagrams, not QUIC",
	},
	{
		name: "blocking", packages: []string{"internal/blocking/..."},
		why: "waiting is for the applications over QUIC whose users block, not for the core",
	},
	{
		name: core, packages: []string{"internal/..."}, may: []string{leaves},
		why: "the internal packages of the core know only one another and the leaves",
	},
	{
		name: "quic", packages: []string{"quic"}, may: []string{core, leaves},
		why: "quic is one connection as a state machine: no sockets, no application",
	},
	{
		name: "simnet", packages: []string{"internal/simnet/..."}, may: []string{"quic", core, leaves},
		why: "the simulated network holds connections of package quic and nothing above",
	},
	{
		name: "qpack", packages: []string{"h3/qpack"}, may: []string{core, leaves},
		why: "QPACK encodes fields and knows no connection",
	},
	{
		name: "capsule", packages: []string{"h3/capsule"}, may: []string{core, leaves},
		why: "capsules are read from any reader",
	},
	{
		name: "h3", packages: []string{"h3"}, may: []string{"quic", "qpack", core, leaves},
		why: "h3 is HTTP/3 over a quic.Conn as a state machine: no sockets, no actors",
	},
	{
		name: "engine", packages: []string{"engine/..."}, may: []string{"quic", "udp", core, leaves},
		why: "engine drives connections over sockets and knows no HTTP",
	},
	{
		name: "steering", packages: []string{"engine/steering/..."}, may: []string{"engine", "quic", "udp", core, leaves}, anything: true,
		why: "steering has dependencies of its own, so that nobody imports it but who asks for it",
	},
	{
		name: "h3driver", packages: []string{"h3driver/..."}, may: []string{"engine", "h3", "qpack", "quic", "blocking", core, leaves},
		why: "h3driver is HTTP/3 as an application of engine and knows nobody above it",
	},
	{
		name: "quicnet", packages: []string{"quicnet/..."}, may: []string{"engine", "quic", "udp", "blocking", core, leaves},
		why: "quicnet is blocking streams as an application of engine and knows no HTTP",
	},
	{
		name:     "http3",
		packages: []string{"http3/..."},
		may:      []string{"h3driver", "h3", "qpack", "capsule", "engine", "quic", "udp", core, leaves},
		netHTTP:  true,
		why:      "http3 is net/http on top of h3driver",
	},
	{
		name:     "http3test",
		packages: []string{"http3test/..."},
		may:      []string{"http3", core, leaves},
		netHTTP:  true,
		why:      "http3test is http3 for the time of a test",
	},
	{
		name:     "over QUIC",
		packages: []string{"masque/...", "doq/...", "webtransport/...", "probe/..."},
		may:      []string{"http3", "h3driver", "quicnet", "h3", "qpack", "capsule", "engine", "quic", "udp", core, leaves},
		netHTTP:  true,
		why:      "protocols for people to use stand on the drivers and know no command",
	},
	{
		name:     "command",
		packages: []string{"cmd/..."},
		may:      []string{"over QUIC", "http3", "h3driver", "quicnet", "h3", "engine", "quic", "udp", core, leaves},
		netHTTP:  true,
		anything: true,
		why:      "commands stand on what people use, nobody imports them, and only tests use simulated or impaired networks",
	},
	{
		name:     "examples",
		packages: []string{"examples/..."},
		may:      []string{"over QUIC", "http3", "h3driver", "quicnet", "engine", "h3", "qpack", "quic", "udp", leaves},
		netHTTP:  true,
		why:      "an example uses what a reader of it can: public packages",
	},
}

// roomOf returns the room of a package, by the longest entry that names it, or nil.
func roomOf(rel string) *room {
	var found *room
	longest := -1
	for i := range rooms {
		for _, entry := range rooms[i].packages {
			dir, below := strings.CutSuffix(entry, "/...")
			if (rel == dir || below && strings.HasPrefix(rel, dir+"/")) && len(dir) > longest {
				found, longest = &rooms[i], len(dir)
			}
		}
	}
	return found
}

// mayImport reports whether a package of the room may import another package of the module.
func (r *room) mayImport(rel string) bool {
	target := roomOf(rel)
	return r != nil && target != nil && (target == r || slices.Contains(r.may, target.name))
}

// foreign says why the room may not import a package of the standard library or of another module, or "".
func (r *room) foreign(importPath string) string {
	switch {
	case !isStandard(importPath):
		if !r.anything && !strings.HasPrefix(importPath, "golang.org/x/") {
			return "outside of the commands, Dunlin needs the standard library and golang.org/x only"
		}
	case importPath == "net/http" || strings.HasPrefix(importPath, "net/http/"):
		if !r.netHTTP {
			return r.why + ", and net/http stands above it"
		}
	}
	return ""
}
