// Package qpack is QPACK, the field compression of HTTP/3 (RFC 9204), as two state machines that do no I/O.
package qpack
