package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// responseReader finds the end of one response with a Content-Length; anything but status 200 is an error.
type responseReader struct {
	head     []byte
	inBody   bool
	left     int
	complete bool
	// closing: the server will take no further request on this connection.
	closing bool
}

var (
	lengthField  = []byte("content-length:")
	closingField = []byte("connection: close")
)

func (r *responseReader) take(data []byte) error {
	if !r.inBody {
		r.head = append(r.head, data...)
		end := bytes.Index(r.head, []byte("\r\n\r\n"))
		if end < 0 {
			return nil
		}
		if len(r.head) < 12 || string(r.head[9:12]) != "200" {
			return fmt.Errorf("not a 200: %.40q", r.head)
		}
		length, err := contentLength(r.head[:end])
		if err != nil {
			return err
		}
		r.closing = bytes.Contains(bytes.ToLower(r.head[:end]), closingField)
		r.inBody = true
		r.left = length
		data = r.head[end+4:]
	}
	r.left -= len(data)
	if r.left < 0 {
		return errors.New("more body than Content-Length says")
	}
	r.complete = r.left == 0
	return nil
}

func (r *responseReader) reset() {
	r.head = r.head[:0]
	r.inBody = false
	r.complete = false
}

func contentLength(head []byte) (int, error) {
	for _, line := range bytes.Split(head, []byte("\r\n")) {
		if len(line) > len(lengthField) && bytes.EqualFold(line[:len(lengthField)], lengthField) {
			return strconv.Atoi(string(bytes.TrimSpace(line[len(lengthField):])))
		}
	}
	return 0, errors.New("a response without Content-Length")
}
