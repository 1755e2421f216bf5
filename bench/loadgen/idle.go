package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
)

// The client's preface, empty SETTINGS, and GET / of scheme https on stream 1, whose only field that is not in the static table
// is :authority (RFC 9113 section 3.4, RFC 7541 appendix A).
func http2Request(host string) []byte {
	block := append([]byte{0x82, 0x87, 0x84, 0x41, byte(len(host))}, host...)
	head := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	head = append(head, 0, 0, byte(len(block)), 1, 5, 0, 0, 0, 1)
	return append(head, block...)
}

// stayOpen opens TLS connections, has one request answered on each, says so in a line, and holds them until standard input ends.
func stayOpen(address, host, protocol string, connections int) Result {
	config := &tls.Config{ServerName: host, InsecureSkipVerify: true, NextProtos: []string{protocol}, SessionTicketsDisabled: true}
	request := []byte("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	if protocol == "h2" {
		request = http2Request(host)
	}
	open := make([]*tls.Conn, 0, connections)
	defer func() {
		for _, connection := range open {
			connection.Close()
		}
	}()
	for len(open) < connections {
		connection, err := tls.Dial("tcp", address, config)
		if err == nil && connection.ConnectionState().NegotiatedProtocol != protocol {
			err = errors.New("the server did not agree to " + protocol)
		}
		if err == nil {
			_, err = connection.Write(request)
		}
		if err == nil {
			err = untilAnswered(connection, protocol)
		}
		if err != nil {
			return Result{Errors: connections, LastError: err.Error()}
		}
		open = append(open, connection)
	}
	fmt.Fprintln(os.Stderr, "open")
	if _, err := os.Stdin.Read(make([]byte, 1)); err == nil {
		return Result{Errors: connections, LastError: "standard input is to be closed, not written to"}
	}
	return Result{Requests: connections}
}

// untilAnswered reads one answer to its end.
func untilAnswered(connection *tls.Conn, protocol string) error {
	buffer := make([]byte, 16384)
	if protocol != "h2" {
		response := responseReader{}
		for !response.complete {
			count, err := connection.Read(buffer)
			if err != nil {
				return err
			}
			if err := response.take(buffer[:count]); err != nil {
				return err
			}
		}
		return nil
	}
	var held []byte
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			return err
		}
		held = append(held, buffer[:count]...)
		for len(held) >= 9 {
			length := int(held[0])<<16 | int(held[1])<<8 | int(held[2])
			if len(held) < 9+length {
				break
			}
			kind, flags := held[3], held[4]
			held = held[9+length:]
			if kind == 4 && flags&1 == 0 {
				// SETTINGS are acknowledged, or the server may take the client for gone.
				if _, err := connection.Write([]byte{0, 0, 0, 4, 1, 0, 0, 0, 0}); err != nil {
					return err
				}
			}
			if kind == 3 || kind == 7 {
				return errors.New("the stream or the connection was ended")
			}
			// END_STREAM on HEADERS or DATA.
			if kind <= 1 && flags&1 == 1 {
				return nil
			}
		}
	}
}
