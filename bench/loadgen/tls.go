package main

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// connectEach sends each request on a TLS connection of its own, `connections` of them at once, for `duration` or, when
// `requests` is not 0, until that many were sent. With `resume`, each sender keeps the session of its last connection,
// and makes a first one before the time begins.
func connectEach(address string, config *tls.Config, request []byte, resume bool, connections int, duration time.Duration, requests int) Result {
	var done, failed, resumed, started int64
	var lastError atomic.Value
	var begin, deadline time.Time
	var ready, senders sync.WaitGroup
	start := make(chan struct{})
	ready.Add(connections)
	for i := 0; i < connections; i++ {
		senders.Add(1)
		go func() {
			defer senders.Done()
			own := config.Clone()
			if resume {
				own.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			} else {
				own.SessionTicketsDisabled = true
			}
			buffer := make([]byte, 8192)
			if resume {
				if _, err := once(address, own, request, buffer); err != nil {
					lastError.Store(err.Error())
				}
			}
			ready.Done()
			<-start
			for {
				if requests > 0 {
					if atomic.AddInt64(&started, 1) > int64(requests) {
						return
					}
				} else if time.Now().After(deadline) {
					return
				}
				wasResumed, err := once(address, own, request, buffer)
				if err != nil {
					atomic.AddInt64(&failed, 1)
					lastError.Store(err.Error())
					time.Sleep(time.Millisecond)
					continue
				}
				atomic.AddInt64(&done, 1)
				if wasResumed {
					atomic.AddInt64(&resumed, 1)
				}
			}
		}()
	}
	ready.Wait()
	begin = time.Now()
	deadline = begin.Add(duration)
	close(start)
	senders.Wait()
	result := Result{Requests: int(done), Errors: int(failed), Resumed: int(resumed), Seconds: time.Since(begin).Seconds()}
	if text, ok := lastError.Load().(string); ok {
		result.LastError = text
	}
	return result
}

func once(address string, config *tls.Config, request []byte, buffer []byte) (resumed bool, err error) {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		return false, err
	}
	defer socket.Close()
	if err := socket.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return false, err
	}
	connection := tls.Client(socket, config)
	if err := connection.Handshake(); err != nil {
		return false, err
	}
	resumed = connection.ConnectionState().DidResume
	if _, err := connection.Write(request); err != nil {
		return resumed, err
	}
	response := responseReader{}
	for !response.complete {
		count, err := connection.Read(buffer)
		if count > 0 {
			if err := response.take(buffer[:count]); err != nil {
				return resumed, err
			}
		}
		if err != nil && !response.complete {
			return resumed, err
		}
	}
	// Tells the other side that this is the end, as browsers do; without it a server may not keep the session.
	connection.CloseWrite()
	return resumed, nil
}
