package qpack_test

import (
	"fmt"

	"github.com/dunlin-quic/dunlin/h3/qpack"
)

// Two sides with a dynamic table. HTTP/3 would carry the sections in HEADERS frames and the instructions on the QPACK
// streams; here they are handed over directly.
func Example() {
	decoder := qpack.NewDecoder(4096, 16)
	encoder := qpack.NewEncoder(4096)
	encoder.SetPeerCapacity(4096) // what the decoder's side announced in SETTINGS

	fields := []qpack.Field{
		{Name: ":status", Value: "200"},
		{Name: "server", Value: "Dunlin"},
		{Name: "x-served-by", Value: "a host with a long name"},
	}
	for i := range uint64(3) {
		streamID := 4 * i
		section := encoder.Encode(nil, streamID, fields)
		decoded, err := decoder.Decode(nil, streamID, section, 64<<10)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d fields in %d bytes\n", len(decoded), len(section))

		instructions := encoder.Pending()
		if err := decoder.HandleEncoderStream(instructions); err != nil {
			fmt.Println(err)
			return
		}
		encoder.Sent(len(instructions))

		answers := decoder.Pending()
		if err := encoder.HandleDecoderStream(answers); err != nil {
			fmt.Println(err)
			return
		}
		decoder.Sent(len(answers))
	}
	// Output:
	// 3 fields in 40 bytes
	// 3 fields in 40 bytes
	// 3 fields in 5 bytes
}
