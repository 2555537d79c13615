package h3

// charClass is a set of classes of bytes.
type charClass uint8

const (
	charToken charClass = 1 << iota // RFC 9110, Section 5.6.2: tchar
	charName                        // the same without upper case (RFC 9114, Section 4.2)
	charValue                       // RFC 9110, Section 5.5: field-vchar, SP, HTAB
	charURI                         // visible, or beyond ASCII: what may stand in a path or an authority
)

var charClasses = func() (t [256]charClass) {
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			t[c] = charToken | charName
		case c >= 'A' && c <= 'Z':
			t[c] = charToken
		}
		if c >= 0x20 && c != 0x7f || c == '\t' {
			t[c] |= charValue
		}
		if c > 0x20 && c != 0x7f {
			t[c] |= charURI
		}
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= charToken | charName
	}
	t['#'] &^= charURI // would begin a fragment
	return t
}()

// allIn reports whether every byte of s is of the class.
func allIn(s string, class charClass) bool {
	for i := range len(s) {
		if charClasses[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

func isToken(s string) bool     { return s != "" && allIn(s, charToken) }
func isFieldName(s string) bool { return s != "" && allIn(s, charName) }
func isPath(s string) bool      { return allIn(s, charURI) }

// isFieldValue reports whether s is a field-value, which neither begins nor ends with white space (RFC 9110, Section
// 5.5).
func isFieldValue(s string) bool {
	if s == "" {
		return true
	}
	return !isSpace(s[0]) && !isSpace(s[len(s)-1]) && allIn(s, charValue)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// isScheme reports whether s is a URI scheme (RFC 3986, Section 3.1).
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (s[i] < '0' || s[i] > '9') && s[i] != '+' && s[i] != '-' && s[i] != '.') {
			return false
		}
	}
	return s != ""
}

// isAuthority reports whether s can be the authority of a URI: not empty, and without what would end it (RFC 3986,
// Section 3.2).
func isAuthority(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '/' || c == '?' || c == '\\' || charClasses[c]&charURI == 0 {
			return false
		}
	}
	return s != ""
}
