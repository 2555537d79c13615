package qlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrRecordTooLong is returned for a record of more than 1 MiB.
var ErrRecordTooLong = errors.New("qlog: record too long")

// maxRecord bounds the memory that a record takes.
const maxRecord = 1 << 20

// FileHeader is the header of a trace that is read.
type FileHeader struct {
	FileSchema          string `json:"file_schema"`
	SerializationFormat string `json:"serialization_format"`
	Title               string `json:"title"`
	Description         string `json:"description"`
	Trace               struct {
		Title        string `json:"title"`
		CommonFields struct {
			GroupID       string `json:"group_id"`
			TimeFormat    string `json:"time_format"`
			ReferenceTime struct {
				ClockType     string `json:"clock_type"`
				Epoch         string `json:"epoch"`
				WallClockTime string `json:"wall_clock_time"`
			} `json:"reference_time"`
		} `json:"common_fields"`
		VantagePoint struct {
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"vantage_point"`
		EventSchemas []string `json:"event_schemas"`
	} `json:"trace"`
}

// Record is an event of a trace that is read.
type Record struct {
	// Time is when it happened, from the reference time on.
	Time    time.Duration
	Name    string
	GroupID string          // "" where it is the one of the header
	Data    json.RawMessage // as the schema of the event has it; valid until the next record is read
}

// Reader reads a trace of JSON text sequences, of whatever program, record by record. It keeps no more than one record of at most
// 1 MiB.
type Reader struct {
	in     *bufio.Reader
	header FileHeader
	record []byte
	last   time.Duration
	n      int // records read
	line   struct {
		Time       float64         `json:"time"`
		TimeFormat string          `json:"time_format"`
		Name       string          `json:"name"`
		GroupID    string          `json:"group_id"`
		Data       json.RawMessage `json:"data"`
	}
}

// NewReader returns a Reader of the trace that r yields, whose header it reads. Traces that are compressed have to be
// decompressed before.
func NewReader(r io.Reader) (*Reader, error) {
	in := &Reader{in: bufio.NewReader(r)}
	b, err := in.next()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if err := json.Unmarshal(b, &in.header); err != nil {
		return nil, fmt.Errorf("qlog: header: %w", err)
	}
	if in.header.Trace.EventSchemas == nil && in.header.SerializationFormat == "" {
		return nil, errors.New("qlog: no header: not a trace of JSON text sequences")
	}
	return in, nil
}

// Header returns the header of the trace.
func (r *Reader) Header() *FileHeader { return &r.header }

// Next returns the next event, or io.EOF after the last one. A record cut short, as a program leaves it that was killed, is
// io.ErrUnexpectedEOF if it is the last one. After any error the reader is not to be used again.
func (r *Reader) Next() (Record, error) {
	b, err := r.next()
	if err != nil {
		return Record{}, err
	}
	line := &r.line
	line.Time, line.TimeFormat, line.Name, line.GroupID, line.Data = 0, "", "", "", line.Data[:0]
	if err := json.Unmarshal(b, line); err != nil {
		if _, peek := r.in.Peek(1); peek == io.EOF {
			return Record{}, io.ErrUnexpectedEOF
		}
		return Record{}, fmt.Errorf("qlog: record %d: %w", r.n, err)
	}
	if line.Name == "" {
		return Record{}, fmt.Errorf("qlog: record %d has no name", r.n)
	}
	at := time.Duration(line.Time * float64(time.Millisecond))
	format := line.TimeFormat
	if format == "" {
		format = r.header.Trace.CommonFields.TimeFormat
	}
	if format == "relative_to_previous_event" {
		at += r.last
	}
	r.last = at
	return Record{Time: at, Name: line.Name, GroupID: line.GroupID, Data: line.Data}, nil
}

// next returns the bytes of the next record that is not empty.
func (r *Reader) next() ([]byte, error) {
	for {
		r.record = r.record[:0]
		for {
			b, err := r.in.ReadSlice(recordSeparator)
			if len(r.record)+len(b) > maxRecord {
				return nil, ErrRecordTooLong
			}
			r.record = append(r.record, b...)
			if err == nil {
				r.record = r.record[:len(r.record)-1]
				break
			}
			if err == io.EOF {
				break
			}
			if err != bufio.ErrBufferFull {
				return nil, err
			}
		}
		if b := bytes.TrimSpace(r.record); len(b) > 0 {
			r.n++
			return b, nil
		}
		if _, err := r.in.Peek(1); err != nil {
			return nil, err
		}
	}
}
