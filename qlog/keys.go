package qlog

// KeyType names packet protection keys.
type KeyType string

// The keys of a connection.
const (
	ServerInitialSecret   KeyType = "server_initial_secret"
	ClientInitialSecret   KeyType = "client_initial_secret"
	ServerHandshakeSecret KeyType = "server_handshake_secret"
	ClientHandshakeSecret KeyType = "client_handshake_secret"
	Client0RTTSecret      KeyType = "client_0rtt_secret"
	Server1RTTSecret      KeyType = "server_1rtt_secret"
	Client1RTTSecret      KeyType = "client_1rtt_secret"
)

// KeyTrigger says what made keys change.
type KeyTrigger string

// What makes keys change.
const (
	KeysByTLS          KeyTrigger = "tls"
	KeysByRemoteUpdate KeyTrigger = "remote_update"
	KeysByLocalUpdate  KeyTrigger = "local_update"
)

// KeyUpdated tells that there are new keys. The keys themselves are never logged: that is what tls.Config.KeyLogWriter is for.
type KeyUpdated struct {
	Type    KeyType
	Phase   uint64 // of 1-RTT keys
	Trigger KeyTrigger
}

// Name implements [Event].
func (*KeyUpdated) Name() string { return "quic:key_updated" }

// AppendData implements [Event].
func (e *KeyUpdated) AppendData(b []byte) []byte { return appendKey(b, e.Type, e.Phase, e.Trigger) }

// KeyDiscarded tells that keys are gone.
type KeyDiscarded struct {
	Type    KeyType
	Phase   uint64 // of 1-RTT keys
	Trigger KeyTrigger
}

// Name implements [Event].
func (*KeyDiscarded) Name() string { return "quic:key_discarded" }

// AppendData implements [Event].
func (e *KeyDiscarded) AppendData(b []byte) []byte { return appendKey(b, e.Type, e.Phase, e.Trigger) }

func appendKey(b []byte, t KeyType, phase uint64, trigger KeyTrigger) []byte {
	o := begin(b)
	o.name("key_type", string(t))
	if t == Server1RTTSecret || t == Client1RTTSecret {
		o.mustUint("key_phase", phase)
	}
	o.name("trigger", string(trigger))
	return o.end()
}
