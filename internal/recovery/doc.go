// Package recovery is QUIC's loss detection (RFC 9002) on the sending side, [Recovery], and its acknowledgments
// (RFC 9000, Section 13.2) on the receiving side, [Received].
//
// Recovery knows packets by number, size and time, and frames by the small [Frame] records that their owners leave
// while they write a packet. When an ACK frame or a timer settles a packet's fate, a [Handler] hears it frame by frame:
// acknowledged, or lost and to be sent again if still of use. A probe timeout is told as a loss, too, so that nobody
// else needs a notion of probes.
//
// Packets live in a ring indexed by packet number, their records in a second one. Steady sending allocates nothing. An
// ACK costs what it newly acknowledges: runs that were acknowledged before are jumped over, and the search for losses
// starts at the oldest packet that is outstanding. The rings are bounded whatever the peer does.
//
// Time is given to every call and never asked for.
package recovery
