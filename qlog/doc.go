// Package qlog writes and reads traces of QUIC and HTTP/3 connections: what each packet carried, what loss detection and
// congestion control made of it, how far the handshake came and why the connection ended. The format is that of the IETF's
// drafts (draft-ietf-quic-qlog-main-schema-14, -quic-events-13 and -h3-events-13) as JSON text sequences, which qvis and other
// tools draw diagrams of.
//
// # Writing
//
// A connection that is to be traced gets a [Tracer] when it begins, by the NewTracer of its config. [Trace] is one that writes
// to an io.Writer; package qlogdir makes a file for each connection:
//
//	traces := &qlogdir.Dir{Path: "/var/tmp/traces"}
//	config.NewTracer = func(side quic.Side, odcid quic.ConnectionID) qlog.Tracer {
//		return traces.New(qlog.VantagePoint(side.String()), odcid.Bytes())
//	}
//
// The commands dunlin serve and dunlin get do that with --qlog, or where the environment has QLOGDIR.
//
// A connection without a tracer pays for the possibility with a comparison here and there. With one that writes, it formats
// some 300 bytes for each packet, and as many again for what acknowledgments change. That takes half a microsecond for each packet
// at each end, so that bulk data costs about twice the CPU time (BenchmarkBulk and BenchmarkBulkTraced of package quic); files
// come on top, and compression takes about a megabyte of memory for each connection. And a server makes a trace for whoever sends it an Initial packet. So traces are for
// looking into something, or for a sample of the connections (a NewTracer that returns nil for most), not for all.
//
// A tracer of one's own hears the same events as values, and may do as it likes with them:
//
//	func (c *losses) Event(at time.Time, e qlog.Event) {
//		if lost, ok := e.(*qlog.PacketLost); ok {
//			c.histogram.Add(lost.Trigger)
//		}
//	}
//
// # What is in a trace, and what is not
//
// Traces hold addresses, connection IDs, header fields of requests and the reasons that peers give. They hold no keys (that is
// what tls.Config.KeyLogWriter is for), no tokens, no stateless reset tokens, nothing that streams carry, and no values of the
// header fields that authenticate. So a trace does not let its reader take part in a connection, but it does tell who talked to
// whom about what.
//
// # Reading
//
// [Reader] reads traces of any program, record by record, with bounded memory. What an event tells is left as JSON: schemas
// differ from draft to draft.
package qlog
