// Loadgen makes the loads that wrk and h2load can not: a new TLS connection for each request, with a full handshake or a
// resumed session; an open loop at a constant rate whose latencies count from when each request was due; WebSocket messages
// that are echoed; and TLS connections that only stay open. It prints one JSON object: requests, errors, seconds, handshakes
// resumed, and latencies in microseconds. With -mode echo-server it is the WebSocket backend instead.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"time"
)

// Result is what one run came to.
type Result struct {
	Requests  int              `json:"requests"`
	Errors    int              `json:"errors"`
	Resumed   int              `json:"resumed"`
	Seconds   float64          `json:"seconds"`
	Latencies map[string]int64 `json:"latencies,omitempty"`
	LastError string           `json:"lastError,omitempty"`
}

func percentiles(latencies []time.Duration) map[string]int64 {
	if len(latencies) == 0 {
		return nil
	}
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	at := func(share float64) int64 {
		index := int(share * float64(len(latencies)))
		if index >= len(latencies) {
			index = len(latencies) - 1
		}
		return latencies[index].Microseconds()
	}
	return map[string]int64{"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": latencies[len(latencies)-1].Microseconds()}
}

func main() {
	address := flag.String("address", "", "HOST:PORT to send to")
	host := flag.String("host", "localhost", "Host field and server name")
	mode := flag.String("mode", "", "tls-full | tls-resumed | rate | websocket | idle | echo-server")
	connections := flag.Int("connections", 64, "connections at once")
	seconds := flag.Float64("seconds", 4, "how long")
	requests := flag.Int("requests", 0, "tls modes: end after this many requests instead of after a time")
	rate := flag.Float64("rate", 0, "rate mode: requests a second")
	protocol := flag.String("protocol", "http/1.1", "idle mode: http/1.1 | h2")
	tls12 := flag.Bool("tls12", false, "tls modes: TLS 1.2 at most")
	flag.Parse()

	request := []byte("GET / HTTP/1.1\r\nHost: " + *host + "\r\n\r\n")
	duration := time.Duration(*seconds * float64(time.Second))
	var result Result
	switch *mode {
	case "tls-full", "tls-resumed":
		config := &tls.Config{ServerName: *host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12,
			// The same key exchange with every proxy: newer OpenSSLs would agree on a costlier, post-quantum one.
			CurvePreferences: []tls.CurveID{tls.X25519}}
		if *tls12 {
			config.MaxVersion = tls.VersionTLS12
		}
		closing := []byte("GET / HTTP/1.1\r\nHost: " + *host + "\r\nConnection: close\r\n\r\n")
		result = connectEach(*address, config, closing, *mode == "tls-resumed", *connections, duration, *requests)
	case "rate":
		if *rate <= 0 {
			fmt.Fprintln(os.Stderr, "loadgen: -mode rate needs -rate")
			os.Exit(2)
		}
		result = constantRate(*address, request, *connections, duration, *rate)
	case "websocket":
		result = echoMessages(*address, *host, *connections, duration)
	case "idle":
		result = stayOpen(*address, *host, *protocol, *connections)
	case "echo-server":
		if err := serveEcho(*address); err != nil {
			fmt.Fprintln(os.Stderr, "loadgen:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "loadgen: -mode must be tls-full, tls-resumed, rate, websocket, idle or echo-server")
		os.Exit(2)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}
