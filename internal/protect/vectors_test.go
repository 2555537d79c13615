package protect

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// The sample packets of RFC 9001, Appendix A.
const (
	sampleClientCrypto = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c000004130113" +
		"02010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d00170018001000070005" +
		"04616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce1" +
		"5d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c0002400100" +
		"3900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806" +
		"048000ffff"
	sampleClientPacket = "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec356c" +
		"0bab7df5976d27cd449f63300099f3991c260ec4c60d17b31f8429157bb35a1282a643a8d2262cad67500cadb8e7378c" +
		"8eb7539ec4d4905fed1bee1fc8aafba17c750e2c7ace01e6005f80fcb7df621230c83711b39343fa028cea7f7fb5ff89" +
		"eac2308249a02252155e2347b63d58c5457afd84d05dfffdb20392844ae812154682e9cf012f9021a6f0be17ddd0c208" +
		"4dce25ff9b06cde535d0f920a2db1bf362c23e596d11a4f5a6cf3948838a3aec4e15daf8500a6ef69ec4e3feb6b1d98e" +
		"610ac8b7ec3faf6ad760b7bad1db4ba3485e8a94dc250ae3fdb41ed15fb6a8e5eba0fc3dd60bc8e30c5c4287e53805db" +
		"059ae0648db2f64264ed5e39be2e20d82df566da8dd5998ccabdae053060ae6c7b4378e846d29f37ed7b4ea9ec5d82e7" +
		"961b7f25a9323851f681d582363aa5f89937f5a67258bf63ad6f1a0b1d96dbd4faddfcefc5266ba6611722395c906556" +
		"be52afe3f565636ad1b17d508b73d8743eeb524be22b3dcbc2c7468d54119c7468449a13d8e3b95811a198f3491de3e7" +
		"fe942b330407abf82a4ed7c1b311663ac69890f4157015853d91e923037c227a33cdd5ec281ca3f79c44546b9d90ca00" +
		"f064c99e3dd97911d39fe9c5d0b23a229a234cb36186c4819e8b9c5927726632291d6a418211cc2962e20fe47feb3edf" +
		"330f2c603a9d48c0fcb5699dbfe5896425c5bac4aee82e57a85aaf4e2513e4f05796b07ba2ee47d80506f8d2c25e50fd" +
		"14de71e6c418559302f939b0e1abd576f279c4b2e0feb85c1f28ff18f58891ffef132eef2fa09346aee33c28eb130ff2" +
		"8f5b766953334113211996d20011a198e3fc433f9f2541010ae17c1bf202580f6047472fb36857fe843b19f5984009dd" +
		"c324044e847a4f4a0ab34f719595de37252d6235365e9b84392b061085349d73203a4a13e96f5432ec0fd4a1ee65accd" +
		"d5e3904df54c1da510b0ff20dcc0c77fcb2c0e0eb605cb0504db87632cf3d8b4dae6e705769d1de354270123cb11450e" +
		"fc60ac47683d7b8d0f811365565fd98c4c8eb936bcab8d069fc33bd801b03adea2e1fbc5aa463d08ca19896d2bf59a07" +
		"1b851e6c239052172f296bfb5e72404790a2181014f3b94a4e97d117b438130368cc39dbb2d198065ae3986547926cd2" +
		"162f40a29f0c3c8745c0f50fba3852e566d44575c29d39a03f0cda721984b6f440591f355e12d439ff150aab7613499d" +
		"bd49adabc8676eef023b15b65bfc5ca06948109f23f350db82123535eb8a7433bdabcb909271a6ecbcb58b936a88cd4e" +
		"8f2e6ff5800175f113253d8fa9ca8885c2f552e657dc603f252e1a8e308f76f0be79e2fb8f5d5fbbe2e30ecadd220723" +
		"c8c0aea8078cdfcb3868263ff8f0940054da48781893a7e49ad5aff4af300cd804a6b6279ab3ff3afb64491c85194aab" +
		"760d58a606654f9f4400e8b38591356fbf6425aca26dc85244259ff2b19c41b9f96f3ca9ec1dde434da7d2d392b905dd" +
		"f3d1f9af93d1af5950bd493f5aa731b4056df31bd267b6b90a079831aaf579be0a39013137aac6d404f518cfd4684064" +
		"7e78bfe706ca4cf5e9c5453e9f7cfd2b8b4c8d169a44e55c88d4a9a7f9474241e221af44860018ab0856972e194cd934"
	sampleServerPayload = "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a1200" +
		"130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00" +
		"020304"
	sampleServerPacket = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb3" +
		"8cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84" +
		"022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee"
	sampleRetry = "ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantHex(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if hex.EncodeToString(got) != want {
		t.Errorf("%s:\n got %x\nwant %s", what, got, want)
	}
}

func sampleDCID(t testing.TB) wire.ConnectionID {
	return wire.NewConnectionID(unhex(t, "8394c8f03e515708"))
}

// RFC 9001, Appendix A.1 and A.5; RFC 9369, Appendix A.1.
// RFC 9001, Section 5.2 (MUST 1).
func TestSampleKeys(t *testing.T) {
	client, server, err := InitialSecrets(wire.Version1, sampleDCID(t))
	client2, server2, err2 := InitialSecrets(wire.Version2, sampleDCID(t))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	wantHex(t, "client secret of version 2", client2, "14ec9d6eb9fd7af83bf5a668bc17a7e283766aade7ecd0891f70f9ff7f4bf47b")
	wantHex(t, "server secret of version 2", server2, "0263db1782731bf4588e7e4d93b7463907cb8cd8200b5da55a8bd488eafc37c1")
	wantHex(t, "client secret", client, "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea")
	wantHex(t, "server secret", server, "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b")
	chacha := unhex(t, sampleChaChaSecret)
	for _, tt := range []struct {
		suite  Suite
		secret []byte
		label  string
		want   string
	}{
		{AES128GCM, client2, "quicv2 key", "8b1a0bc121284290a29e0971b5cd045d"},
		{AES128GCM, client2, "quicv2 iv", "91f73e2351d8fa91660e909f"},
		{AES128GCM, client2, "quicv2 hp", "45b95e15235d6f45a6b19cbcb0294ba9"},
		{AES128GCM, server2, "quicv2 key", "82db637861d55e1d011f19ea71d5d2a7"},
		{AES128GCM, server2, "quicv2 iv", "dd13c276499c0249d3310652"},
		{AES128GCM, server2, "quicv2 hp", "edf6d05c83121201b436e16877593c3a"},
		{AES128GCM, client, "quic key", "1f369613dd76d5467730efcbe3b1a22d"},
		{AES128GCM, client, "quic iv", "fa044b2f42a3fd3b46fb255c"},
		{AES128GCM, client, "quic hp", "9f50449e04a0e810283a1e9933adedd2"},
		{AES128GCM, server, "quic key", "cf3a5331653c364c88f0f379b6067e37"},
		{AES128GCM, server, "quic iv", "0ac1493ca1905853b0bba03e"},
		{AES128GCM, server, "quic hp", "c206b8d9b9f0f37644430b490eeaa314"},
		{ChaCha20Poly1305, chacha, "quic key", "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8"},
		{ChaCha20Poly1305, chacha, "quic iv", "e0459b3474bdd0e44a41c144"},
		{ChaCha20Poly1305, chacha, "quic hp", "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"},
		{ChaCha20Poly1305, chacha, "quic ku", "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9"},
	} {
		got := make([]byte, len(tt.want)/2)
		tt.suite.newSecret(tt.secret).expand(tt.label, got)
		wantHex(t, tt.label, got, tt.want)
	}
}

// RFC 9001, Appendix A.2 and A.3; RFC 9369, Appendix A.2 and A.3.
func TestSampleInitial(t *testing.T) {
	clientPayload := make([]byte, 1162)
	copy(clientPayload, unhex(t, sampleClientCrypto))
	for _, tt := range []struct {
		name       string
		version    wire.Version
		server     bool // sends the packet
		header     string
		pnLen      int
		pn         uint64
		payload    []byte
		want       string
		dcid, scid string
	}{
		{"client", wire.Version1, false, "c300000001088394c8f03e5157080000449e00000002", 4, 2, clientPayload, sampleClientPacket,
			"8394c8f03e515708", ""},
		{"server", wire.Version1, true, "c1000000010008f067a5502a4262b50040750001", 2, 1, unhex(t, sampleServerPayload),
			sampleServerPacket, "", "f067a5502a4262b5"},
		{"client, version 2", wire.Version2, false, "d36b3343cf088394c8f03e5157080000449e00000002", 4, 2, clientPayload,
			sampleClientPacketV2, "8394c8f03e515708", ""},
		{"server, version 2", wire.Version2, true, "d16b3343cf0008f067a5502a4262b50040750001", 2, 1,
			unhex(t, sampleServerPayload), sampleServerPacketV2, "", "f067a5502a4262b5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var token []byte
			pkt := make([]byte, 0, 1500)
			pkt = wire.AppendLong(pkt, wire.Initial, tt.version, wire.NewConnectionID(unhex(t, tt.dcid)),
				wire.NewConnectionID(unhex(t, tt.scid)), token, tt.pn, tt.pnLen)
			pnOffset := len(pkt) - tt.pnLen
			wire.PatchLength(pkt, pnOffset, tt.pnLen+len(tt.payload)+Overhead)
			wantHex(t, "header", pkt, tt.header)
			pkt = append(pkt, tt.payload...)

			sealer, _, err := NewInitial(tt.version, sampleDCID(t), tt.server)
			if err != nil {
				t.Fatal(err)
			}
			pkt = sealer.Seal(pkt, pnOffset, tt.pnLen, tt.pn)
			wantHex(t, "packet", pkt, tt.want)

			h, ok := wire.ParseLong(pkt)
			if !ok || h.Type != wire.Initial || h.PNOffset != pnOffset || h.PacketLen != len(pkt) {
				t.Fatalf("ParseLong = %+v, %v", h, ok)
			}
			_, opener, err := NewInitial(tt.version, sampleDCID(t), !tt.server)
			if err != nil {
				t.Fatal(err)
			}
			pn, pnLen, ok := opener.Unmask(pkt, h.PNOffset, 0)
			if !ok || pn != tt.pn || pnLen != tt.pnLen || !wire.ReservedBitsZero(pkt[0]) {
				t.Fatalf("Unmask = %d, %d, %v", pn, pnLen, ok)
			}
			got, err := opener.Open(pkt, h.PNOffset+pnLen, pn)
			if err != nil || !bytes.Equal(got, tt.payload) {
				t.Errorf("Open = %x, %v", got, err)
			}
		})
	}
}

// RFC 9001, Appendix A.4; RFC 9369, Appendix A.4.
// RFC 9000, Section 17.2.5.2 (MUST 3).
func TestSampleRetry(t *testing.T) {
	for v, sample := range map[wire.Version]string{wire.Version1: sampleRetry, wire.Version2: sampleRetryV2} {
		want := unhex(t, sample)
		got := wire.AppendRetry(nil, 0xf, v, wire.ConnectionID{}, wire.NewConnectionID(unhex(t, "f067a5502a4262b5")), []byte("token"))
		got = AppendRetryTag(got, v, sampleDCID(t))
		wantHex(t, "Retry", got, sample)

		p, ok := wire.ParseRetry(want)
		if !ok || p.Version != v || string(p.Token) != "token" || !VerifyRetry(&p, sampleDCID(t)) {
			t.Fatalf("the sample does not verify: %+v, %v", p, ok)
		}
		if VerifyRetry(&p, wire.NewConnectionID([]byte("another"))) {
			t.Error("verifies for another connection ID")
		}
		for i := range want {
			b := bytes.Clone(want)
			b[i] ^= 1
			if p, ok := wire.ParseRetry(b); ok && VerifyRetry(&p, sampleDCID(t)) {
				t.Errorf("verifies with byte %d changed", i)
			}
		}
	}
}

const sampleChaChaSecret = "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b"

// RFC 9001, Appendix A.5.
func TestSampleChaCha20(t *testing.T) {
	const pn, pnLen = 654360564, 3
	const want = "4cfe4189655e5cd55c41f69080575d7999c25a5bfb"
	secret := unhex(t, sampleChaChaSecret)
	s, err := NewSealer(wire.Version1, ChaCha20Poly1305, secret)
	if err != nil {
		t.Fatal(err)
	}
	pkt := wire.AppendShort(make([]byte, 0, 100), wire.ConnectionID{}, false, false, pn, pnLen)
	wantHex(t, "header", pkt, "4200bff4")
	pkt = wire.AppendPing(pkt)
	pkt = s.Seal(pkt, 1, pnLen, pn)
	wantHex(t, "packet", pkt, want)

	o, err := NewOpener(wire.Version1, ChaCha20Poly1305, secret)
	if err != nil {
		t.Fatal(err)
	}
	gotPN, gotLen, ok := o.Unmask(pkt, 1, pn)
	if !ok || gotPN != pn || gotLen != pnLen {
		t.Fatalf("Unmask = %d, %d, %v", gotPN, gotLen, ok)
	}
	payload, err := o.Open(pkt, 1+pnLen, pn)
	if err != nil || !bytes.Equal(payload, []byte{1}) {
		t.Errorf("Open = %x, %v", payload, err)
	}
}
