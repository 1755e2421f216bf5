package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// RFC 6455 section 1.3.
	acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	// Below 126, so that a frame's length is in its second byte.
	messageBytes = 120
)

func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + acceptSuffix))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// serveEcho accepts WebSockets and sends every frame of less than 126 bytes back, unmasked. It ends with an error only.
func serveEcho(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		socket, err := listener.Accept()
		if err != nil {
			return err
		}
		go echo(socket)
	}
}

func echo(socket net.Conn) {
	defer socket.Close()
	reader := bufio.NewReaderSize(socket, 4096)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	accept := acceptOf(request.Header.Get("Sec-WebSocket-Key"))
	fmt.Fprintf(socket, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept)
	frame := make([]byte, 6+125)
	for {
		// Two bytes, four of the mask, the message.
		if _, err := io.ReadFull(reader, frame[:6]); err != nil {
			return
		}
		length := int(frame[1] & 0x7f)
		if length > 125 {
			return
		}
		message := frame[6 : 6+length]
		if _, err := io.ReadFull(reader, message); err != nil {
			return
		}
		for index := range message {
			message[index] ^= frame[2+index&3]
		}
		frame[4], frame[5] = frame[0], byte(length)
		if _, err := socket.Write(frame[4 : 6+length]); err != nil {
			return
		}
	}
}

// echoMessages has a message under way on each of the connections all the time. A request of the result is a message that came back.
func echoMessages(address, host string, connections int, duration time.Duration) Result {
	var done, failed int64
	var lastError atomic.Value
	var ready, senders sync.WaitGroup
	var deadline time.Time
	start := make(chan struct{})
	ready.Add(connections)
	for i := 0; i < connections; i++ {
		senders.Add(1)
		go func() {
			defer senders.Done()
			socket, reader, err := openWebSocket(address, host)
			ready.Done()
			if err == nil {
				defer socket.Close()
				<-start
				err = exchange(socket, reader, deadline, &done)
			}
			if err != nil {
				atomic.AddInt64(&failed, 1)
				lastError.Store(err.Error())
			}
		}()
	}
	ready.Wait()
	begin := time.Now()
	deadline = begin.Add(duration)
	close(start)
	senders.Wait()
	// Whoever failed has left its connection unused: that is not one in many, but a broken run.
	result := Result{Requests: int(done), Errors: int(failed) * int(done+1), Seconds: time.Since(begin).Seconds()}
	if text, ok := lastError.Load().(string); ok {
		result.LastError = text
	}
	return result
}

func openWebSocket(address, host string) (net.Conn, *bufio.Reader, error) {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	fmt.Fprintf(socket, "GET /echo HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", host, key)
	reader := bufio.NewReaderSize(socket, 4096)
	response, err := http.ReadResponse(reader, nil)
	if err == nil && (response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Accept") != acceptOf(key)) {
		err = fmt.Errorf("no WebSocket: %s", response.Status)
	}
	if err != nil {
		socket.Close()
		return nil, nil, err
	}
	return socket, reader, nil
}

func exchange(socket net.Conn, reader *bufio.Reader, deadline time.Time, done *int64) error {
	message := bytes.Repeat([]byte("t"), messageBytes)
	mask := []byte{0x12, 0x34, 0x56, 0x78}
	frame := append([]byte{0x82, 0x80 | messageBytes}, mask...)
	for index, value := range message {
		frame = append(frame, value^mask[index&3])
	}
	answer := make([]byte, 2+messageBytes)
	for time.Now().Before(deadline) {
		if _, err := socket.Write(frame); err != nil {
			return err
		}
		if _, err := io.ReadFull(reader, answer); err != nil {
			return err
		}
		if answer[1] != messageBytes || !bytes.Equal(answer[2:], message) {
			return errors.New("the echo is not what was sent")
		}
		atomic.AddInt64(done, 1)
	}
	return nil
}
