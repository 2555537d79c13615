package qlog

import "net/netip"

// Initiator says which side did something.
type Initiator string

// The two sides, as the writer of the trace sees them.
const (
	Local  Initiator = "local"
	Remote Initiator = "remote"
)

// Endpoint is one end of a path: an address, and the connection IDs of what is sent there.
type Endpoint struct {
	Addr          netip.AddrPort // the zero value leaves it out
	ConnectionIDs [][]byte
}

func (o *object) endpoint(k string, e *Endpoint) {
	o.key(k)
	in := begin(o.b)
	in.addr(e.Addr)
	if len(e.ConnectionIDs) > 0 {
		in.key("connection_ids")
		in.b = append(in.b, '[')
		for i, id := range e.ConnectionIDs {
			if i > 0 {
				in.b = append(in.b, ',')
			}
			in.b = appendHex(in.b, id)
		}
		in.b = append(in.b, ']')
	}
	o.b = in.end()
}

// addr writes an address as members of the object.
func (o *object) addr(a netip.AddrPort) {
	ip, port := "ip_v6", "port_v6"
	switch {
	case !a.IsValid():
		return
	case a.Addr().Is4():
		ip, port = "ip_v4", "port_v4"
	}
	o.key(ip)
	o.b = append(o.b, '"')
	o.b = a.Addr().WithZone("").AppendTo(o.b)
	o.b = append(o.b, '"')
	o.mustUint(port, uint64(a.Port()))
}

// ServerListening tells that a server takes connections. It belongs to no connection.
type ServerListening struct {
	Addr          netip.AddrPort
	RetryRequired bool // every client has to prove its address first
}

// Name implements [Event].
func (*ServerListening) Name() string { return "quic:server_listening" }

// AppendData implements [Event].
func (e *ServerListening) AppendData(b []byte) []byte {
	o := begin(b)
	o.addr(e.Addr)
	o.bool("retry_required", e.RetryRequired)
	return o.end()
}

// ConnectionStarted tells that a client begins a connection, or that a server takes one.
type ConnectionStarted struct{ Local, Remote Endpoint }

// Name implements [Event].
func (*ConnectionStarted) Name() string { return "quic:connection_started" }

// AppendData implements [Event].
func (e *ConnectionStarted) AppendData(b []byte) []byte {
	o := begin(b)
	o.endpoint("local", &e.Local)
	o.endpoint("remote", &e.Remote)
	return o.end()
}

// CloseTrigger says what ended a connection.
type CloseTrigger string

// What can end a connection.
const (
	CloseIdleTimeout     CloseTrigger = "idle_timeout"
	CloseApplication     CloseTrigger = "application"
	CloseError           CloseTrigger = "error"
	CloseVersionMismatch CloseTrigger = "version_mismatch"
	CloseStatelessReset  CloseTrigger = "stateless_reset"
	CloseAborted         CloseTrigger = "aborted"
	CloseUnspecified     CloseTrigger = "unspecified"
)

// ConnectionClosed tells that a connection ended, and why. What follows in the trace is of little interest, so [Trace] writes out
// what it holds.
type ConnectionClosed struct {
	Initiator   Initiator
	Error       bool // there is an error code
	Application bool // it is the application protocol's
	Code        uint64
	Reason      string // which a peer may have chosen
	Trigger     CloseTrigger
}

// Name implements [Event].
func (*ConnectionClosed) Name() string { return "quic:connection_closed" }

// AppendData implements [Event].
func (e *ConnectionClosed) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("initiator", string(e.Initiator))
	switch {
	case e.Error && e.Application:
		o.applicationError("application_error", e.Code)
	case e.Error:
		o.transportError("connection_error", e.Code)
	}
	o.text("reason", e.Reason)
	o.name("trigger", string(e.Trigger))
	return o.end()
}

// ConnectionIDUpdated tells that one side uses another connection ID to send to.
type ConnectionIDUpdated struct {
	// Initiator is the side that issued the ID: Remote for the ones to which the writer of the trace sends.
	Initiator Initiator
	Old, New  []byte
}

// Name implements [Event].
func (*ConnectionIDUpdated) Name() string { return "quic:connection_id_updated" }

// AppendData implements [Event].
func (e *ConnectionIDUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("initiator", string(e.Initiator))
	o.hex("old", e.Old)
	o.hex("new", e.New)
	return o.end()
}

// ConnectionState is a state in the life of a connection.
type ConnectionState string

// The states of a connection.
const (
	StateAttempted          ConnectionState = "attempted"
	StateHandshakeStarted   ConnectionState = "handshake_started"
	StatePeerValidated      ConnectionState = "peer_validated"
	StateEarlyWrite         ConnectionState = "early_write"
	StateHandshakeComplete  ConnectionState = "handshake_complete"
	StateHandshakeConfirmed ConnectionState = "handshake_confirmed"
	StateClosing            ConnectionState = "closing"
	StateDraining           ConnectionState = "draining"
	StateClosed             ConnectionState = "closed"
)

// ConnectionStateUpdated tells that a connection went on to another state.
type ConnectionStateUpdated struct{ Old, New ConnectionState }

// Name implements [Event].
func (*ConnectionStateUpdated) Name() string { return "quic:connection_state_updated" }

// AppendData implements [Event].
func (e *ConnectionStateUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("old", string(e.Old))
	o.name("new", string(e.New))
	return o.end()
}

// TupleAssigned tells the addresses and connection IDs of a path.
type TupleAssigned struct {
	ID            string // "" for the path of the handshake
	Remote, Local Endpoint
	Abandoned     bool // the path is given up: Remote and Local are left out
}

// Name implements [Event].
func (*TupleAssigned) Name() string { return "quic:tuple_assigned" }

// AppendData implements [Event].
func (e *TupleAssigned) AppendData(b []byte) []byte {
	o := begin(b)
	o.mustText("tuple_id", e.ID)
	if !e.Abandoned {
		o.endpoint("tuple_remote", &e.Remote)
		o.endpoint("tuple_local", &e.Local)
	}
	return o.end()
}

// MTUUpdated tells that larger packets are sent, or smaller ones.
type MTUUpdated struct {
	Old, New int  // UDP payload, bytes
	Done     bool // the search is over for now
}

// Name implements [Event].
func (*MTUUpdated) Name() string { return "quic:mtu_updated" }

// AppendData implements [Event].
func (e *MTUUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.uint("old", uint64(e.Old))
	o.mustUint("new", uint64(e.New))
	o.bool("done", e.Done)
	return o.end()
}

// MigrationState is how far a migration has come.
type MigrationState string

// The states of a migration.
const (
	ProbingStarted     MigrationState = "probing_started"
	ProbingAbandoned   MigrationState = "probing_abandoned"
	ProbingSuccessful  MigrationState = "probing_successful"
	MigrationStarted   MigrationState = "migration_started"
	MigrationAbandoned MigrationState = "migration_abandoned"
	MigrationComplete  MigrationState = "migration_complete"
)

// MigrationStateUpdated tells how a path validation or a migration goes on.
type MigrationStateUpdated struct {
	New           MigrationState
	TupleID       string
	Remote, Local Endpoint
}

// Name implements [Event].
func (*MigrationStateUpdated) Name() string { return "quic:migration_state_updated" }

// AppendData implements [Event].
func (e *MigrationStateUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("new", string(e.New))
	o.mustText("tuple_id", e.TupleID)
	o.endpoint("tuple_remote", &e.Remote)
	o.endpoint("tuple_local", &e.Local)
	return o.end()
}
