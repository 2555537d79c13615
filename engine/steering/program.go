//go:build linux

package steering

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// The maps that the program reads, and their layout.
const (
	// acceptingCount and acceptingNumbers are offsets in the one value of the map of those who accept connections.
	acceptingCount   = 0
	acceptingNumbers = 4
	acceptingSize    = acceptingNumbers + 256
)

// Offsets in a datagram as the program sees it, from its UDP header on.
const (
	udpHeader    = 8
	shortDCID    = udpHeader + 1
	longDCIDLen  = udpHeader + 1 + 4
	longDCID     = longDCIDLen + 1
	longHeaderAt = 0x80 // the bit of the first byte that says so (RFC 8999, Section 5.1)
)

// skHash is the offset of the hash of a datagram's addresses in struct sk_reuseport_md.
const skHash = 32

// The stack of the program, below its frame pointer. What is read as a word is aligned as one.
const (
	stackID  = -16 // idLen bytes
	stackKey = -24 // of a map; before, single bytes of the datagram
)

// skPass has the kernel take the socket that was selected, or one by the hash of the addresses if none was.
const skPass = 1

// newProgram returns the program that selects the socket of a datagram: that of the member whose number the destination
// connection ID bears, for short headers as for long ones; or else, by the hash of the addresses, that of one who accepts
// connections; or else one of all, as without it.
func newProgram(x ids, sockets, accepting *ebpf.Map) *ebpf.ProgramSpec {
	p := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
	}
	p = append(p, loadBytes(udpHeader, stackKey, 1)...)
	p = append(p,
		asm.JNE.Imm(asm.R0, 0, "default"),
		asm.LoadMem(asm.R1, asm.RFP, stackKey, asm.Byte),
		asm.And.Imm(asm.R1, longHeaderAt),
		asm.Mov.Imm(asm.R7, shortDCID),
		asm.JEq.Imm(asm.R1, 0, "id"),
	)
	p = append(p, loadBytes(longDCIDLen, stackKey, 1)...)
	p = append(p,
		asm.JNE.Imm(asm.R0, 0, "default"),
		asm.LoadMem(asm.R1, asm.RFP, stackKey, asm.Byte),
		asm.JNE.Imm(asm.R1, idLen, "default"),
		asm.Mov.Imm(asm.R7, longDCID),

		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("id"),
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, stackID),
		asm.Mov.Imm(asm.R4, idLen),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "default"),
	)
	p = append(p, sipHash(x.key)...) // in R0
	p = append(p,
		asm.LoadMem(asm.R1, asm.RFP, stackID+randomLen, asm.Half),
		asm.HostTo(asm.LE, asm.R1, asm.Half),
		asm.Xor.Reg(asm.R0, asm.R1),
		asm.And.Imm(asm.R0, 0xffff),
		asm.JGT.Imm(asm.R0, maxNumber, "default"),
		asm.StoreMem(asm.RFP, stackKey, asm.R0, asm.Word),
	)
	p = append(p, selectSocket(sockets)...)
	p = append(p,
		asm.JEq.Imm(asm.R0, 0, "pass"),

		asm.Mov.Imm(asm.R1, 0).WithSymbol("default"),
		asm.StoreMem(asm.RFP, stackKey, asm.R1, asm.Word),
		asm.LoadMapPtr(asm.R1, accepting.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, stackKey),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, acceptingCount, asm.Word),
		asm.JEq.Imm(asm.R1, 0, "pass"),
		asm.LoadMem(asm.R2, asm.R6, skHash, asm.Word),
		asm.Mod.Reg(asm.R2, asm.R1),
		asm.And.Imm(asm.R2, 0xff), // shows the verifier what is so already
		asm.Add.Reg(asm.R0, asm.R2),
		asm.LoadMem(asm.R1, asm.R0, acceptingNumbers, asm.Byte),
		asm.StoreMem(asm.RFP, stackKey, asm.R1, asm.Word),
	)
	p = append(p, selectSocket(sockets)...)
	p = append(p,
		asm.Mov.Imm(asm.R0, skPass).WithSymbol("pass"),
		asm.Return(),
	)
	return &ebpf.ProgramSpec{Name: "dunlin_steering", Type: ebpf.SkReuseport, Instructions: p, License: "MIT"}
}

// loadBytes copies n bytes of the datagram to the stack. R0 is 0 if it has them.
func loadBytes(at, to, n int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, at),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, to),
		asm.Mov.Imm(asm.R4, n),
		asm.FnSkbLoadBytes.Call(),
	}
}

// selectSocket selects the socket of the member whose number is the key on the stack. R0 is 0 if there is one.
func selectSocket(sockets *ebpf.Map) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, sockets.FD()),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, stackKey),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnSkSelectReuseport.Call(),
	}
}

// sipHash computes sipKey.hash of the word at stackID, in R0.
func sipHash(k sipKey) (p asm.Instructions) {
	const word, spare = asm.R1, asm.R2
	v := [4]asm.Register{asm.R0, asm.R7, asm.R8, asm.R9}
	rounds := func(n int) {
		for range n {
			for _, s := range sipSteps {
				p = append(p, asm.Add.Reg(v[s.sum], v[s.addend]))
				p = append(p, rotateLeft(v[s.addend], spare, s.by)...)
				p = append(p, asm.Xor.Reg(v[s.addend], v[s.sum]))
				if s.half {
					p = append(p, rotateLeft(v[s.sum], spare, 32)...)
				}
			}
		}
	}
	for i, x := range k.start() {
		p = append(p, asm.LoadImm(v[i], int64(x), asm.DWord))
	}
	p = append(p, asm.LoadMem(word, asm.RFP, stackID, asm.DWord), asm.HostTo(asm.LE, word, asm.DWord))
	for i := range 2 {
		if i == 1 {
			p = append(p, asm.LoadImm(word, sipLength, asm.DWord))
		}
		p = append(p, asm.Xor.Reg(v[3], word))
		rounds(sipBlockRounds)
		p = append(p, asm.Xor.Reg(v[0], word))
	}
	p = append(p, asm.Xor.Imm(v[2], sipFinish))
	rounds(sipFinalRounds)
	return append(p, asm.Xor.Reg(v[0], v[1]), asm.Xor.Reg(v[0], v[2]), asm.Xor.Reg(v[0], v[3]))
}

func rotateLeft(r, spare asm.Register, by int) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(spare, r),
		asm.RSh.Imm(spare, int32(64-by)),
		asm.LSh.Imm(r, int32(by)),
		asm.Or.Reg(r, spare),
	}
}
