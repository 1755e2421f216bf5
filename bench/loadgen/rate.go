package main

import (
	"net"
	"sync"
	"time"
)

// constantRate is an open loop: request k is due at k/rate, whatever the answers do, and its latency counts from then
// on, so that a stall shows in every request that it held up. The requests are dealt out over keep-alive connections
// in turn; each connection sends its next one when it is due, or as soon as its last answer is in.
func constantRate(address string, request []byte, connections int, duration time.Duration, rate float64) Result {
	type share struct {
		latencies []time.Duration
		errors    int
		lastError string
	}
	shares := make([]share, connections)
	interval := time.Duration(float64(connections) / rate * float64(time.Second))
	begin := time.Now().Add(50 * time.Millisecond)
	end := begin.Add(duration)
	var senders sync.WaitGroup
	for i := range shares {
		senders.Add(1)
		go func(index int) {
			defer senders.Done()
			own := &shares[index]
			own.latencies = make([]time.Duration, 0, int(duration/interval)+1)
			buffer := make([]byte, 8192)
			response := responseReader{}
			var socket net.Conn
			defer func() {
				if socket != nil {
					socket.Close()
				}
			}()
			due := begin.Add(interval * time.Duration(index) / time.Duration(connections))
			for ; due.Before(end); due = due.Add(interval) {
				if wait := time.Until(due); wait > 0 {
					time.Sleep(wait)
				}
				err := func() (err error) {
					if socket == nil {
						if socket, err = net.Dial("tcp", address); err != nil {
							return err
						}
					}
					if _, err = socket.Write(request); err != nil {
						return err
					}
					response.reset()
					for !response.complete {
						count, err := socket.Read(buffer)
						if err != nil {
							return err
						}
						if err := response.take(buffer[:count]); err != nil {
							return err
						}
					}
					return nil
				}()
				if err != nil {
					own.errors++
					own.lastError = err.Error()
					if socket != nil {
						socket.Close()
						socket = nil
					}
					continue
				}
				own.latencies = append(own.latencies, time.Since(due))
				if response.closing {
					socket.Close()
					socket = nil
				}
			}
		}(i)
	}
	senders.Wait()
	var all []time.Duration
	result := Result{Seconds: time.Since(begin).Seconds()}
	for _, own := range shares {
		all = append(all, own.latencies...)
		result.Errors += own.errors
		if own.lastError != "" {
			result.LastError = own.lastError
		}
	}
	result.Requests = len(all)
	result.Latencies = percentiles(all)
	return result
}
