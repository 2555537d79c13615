package qpack

// Field is one field line of a field section: a header or trailer field, or a pseudo-header field, whose name begins
// with a colon.
type Field struct {
	// Name is in lower case; neither Encoder nor Decoder changes or checks it.
	Name, Value string
	// NeverIndex forbids every hop to put the field into a compression table, because its value is a secret
	// (RFC 9204, Section 7.1.3). It travels with the field.
	NeverIndex bool
}

// Size is what the field counts against a limit on field sections and on the dynamic table, in bytes: the lengths of
// name and value plus 32 (RFC 9114, Section 4.2.2; RFC 9204, Section 3.2.1).
func (f Field) Size() uint64 { return uint64(len(f.Name)) + uint64(len(f.Value)) + fieldOverhead }

const fieldOverhead = 32
