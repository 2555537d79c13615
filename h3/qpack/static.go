package qpack

// staticTable is RFC 9204, Appendix A.
var staticTable = [...]Field{
	0:  {Name: ":authority"},
	1:  {Name: ":path", Value: "/"},
	2:  {Name: "age", Value: "0"},
	3:  {Name: "content-disposition"},
	4:  {Name: "content-length", Value: "0"},
	5:  {Name: "cookie"},
	6:  {Name: "date"},
	7:  {Name: "etag"},
	8:  {Name: "if-modified-since"},
	9:  {Name: "if-none-match"},
	10: {Name: "last-modified"},
	11: {Name: "link"},
	12: {Name: "location"},
	13: {Name: "referer"},
	14: {Name: "set-cookie"},
	15: {Name: ":method", Value: "CONNECT"},
	16: {Name: ":method", Value: "DELETE"},
	17: {Name: ":method", Value: "GET"},
	18: {Name: ":method", Value: "HEAD"},
	19: {Name: ":method", Value: "OPTIONS"},
	20: {Name: ":method", Value: "POST"},
	21: {Name: ":method", Value: "PUT"},
	22: {Name: ":scheme", Value: "http"},
	23: {Name: ":scheme", Value: "https"},
	24: {Name: ":status", Value: "103"},
	25: {Name: ":status", Value: "200"},
	26: {Name: ":status", Value: "304"},
	27: {Name: ":status", Value: "404"},
	28: {Name: ":status", Value: "503"},
	29: {Name: "accept", Value: "*/*"},
	30: {Name: "accept", Value: "application/dns-message"},
	31: {Name: "accept-encoding", Value: "gzip, deflate, br"},
	32: {Name: "accept-ranges", Value: "bytes"},
	33: {Name: "access-control-allow-headers", Value: "cache-control"},
	34: {Name: "access-control-allow-headers", Value: "content-type"},
	35: {Name: "access-control-allow-origin", Value: "*"},
	36: {Name: "cache-control", Value: "max-age=0"},
	37: {Name: "cache-control", Value: "max-age=2592000"},
	38: {Name: "cache-control", Value: "max-age=604800"},
	39: {Name: "cache-control", Value: "no-cache"},
	40: {Name: "cache-control", Value: "no-store"},
	41: {Name: "cache-control", Value: "public, max-age=31536000"},
	42: {Name: "content-encoding", Value: "br"},
	43: {Name: "content-encoding", Value: "gzip"},
	44: {Name: "content-type", Value: "application/dns-message"},
	45: {Name: "content-type", Value: "application/javascript"},
	46: {Name: "content-type", Value: "application/json"},
	47: {Name: "content-type", Value: "application/x-www-form-urlencoded"},
	48: {Name: "content-type", Value: "image/gif"},
	49: {Name: "content-type", Value: "image/jpeg"},
	50: {Name: "content-type", Value: "image/png"},
	51: {Name: "content-type", Value: "text/css"},
	52: {Name: "content-type", Value: "text/html; charset=utf-8"},
	53: {Name: "content-type", Value: "text/plain"},
	54: {Name: "content-type", Value: "text/plain;charset=utf-8"},
	55: {Name: "range", Value: "bytes=0-"},
	56: {Name: "strict-transport-security", Value: "max-age=31536000"},
	57: {Name: "strict-transport-security", Value: "max-age=31536000; includesubdomains"},
	58: {Name: "strict-transport-security", Value: "max-age=31536000; includesubdomains; preload"},
	59: {Name: "vary", Value: "accept-encoding"},
	60: {Name: "vary", Value: "origin"},
	61: {Name: "x-content-type-options", Value: "nosniff"},
	62: {Name: "x-xss-protection", Value: "1; mode=block"},
	63: {Name: ":status", Value: "100"},
	64: {Name: ":status", Value: "204"},
	65: {Name: ":status", Value: "206"},
	66: {Name: ":status", Value: "302"},
	67: {Name: ":status", Value: "400"},
	68: {Name: ":status", Value: "403"},
	69: {Name: ":status", Value: "421"},
	70: {Name: ":status", Value: "425"},
	71: {Name: ":status", Value: "500"},
	72: {Name: "accept-language"},
	73: {Name: "access-control-allow-credentials", Value: "FALSE"},
	74: {Name: "access-control-allow-credentials", Value: "TRUE"},
	75: {Name: "access-control-allow-headers", Value: "*"},
	76: {Name: "access-control-allow-methods", Value: "get"},
	77: {Name: "access-control-allow-methods", Value: "get, post, options"},
	78: {Name: "access-control-allow-methods", Value: "options"},
	79: {Name: "access-control-expose-headers", Value: "content-length"},
	80: {Name: "access-control-request-headers", Value: "content-type"},
	81: {Name: "access-control-request-method", Value: "get"},
	82: {Name: "access-control-request-method", Value: "post"},
	83: {Name: "alt-svc", Value: "clear"},
	84: {Name: "authorization"},
	85: {Name: "content-security-policy", Value: "script-src 'none'; object-src 'none'; base-uri 'none'"},
	86: {Name: "early-data", Value: "1"},
	87: {Name: "expect-ct"},
	88: {Name: "forwarded"},
	89: {Name: "if-range"},
	90: {Name: "origin"},
	91: {Name: "purpose", Value: "prefetch"},
	92: {Name: "server"},
	93: {Name: "timing-allow-origin", Value: "*"},
	94: {Name: "upgrade-insecure-requests", Value: "1"},
	95: {Name: "user-agent"},
	96: {Name: "x-forwarded-for"},
	97: {Name: "x-frame-options", Value: "deny"},
	98: {Name: "x-frame-options", Value: "sameorigin"},
}

// staticIndex maps a name to the indices of its entries in the static table, lowest first.
var staticIndex = func() map[string][]uint8 {
	m := make(map[string][]uint8)
	for i, f := range staticTable {
		m[f.Name] = append(m[f.Name], uint8(i))
	}
	return m
}()

// findStatic returns the index of f in the static table, or, with exact false, of an entry with its name. A negative
// index says that there is neither.
func findStatic(f *Field) (index int, exact bool) {
	indices := staticIndex[f.Name]
	if len(indices) == 0 {
		return -1, false
	}
	for _, i := range indices {
		if staticTable[i].Value == f.Value {
			return int(i), true
		}
	}
	return int(indices[0]), false
}
