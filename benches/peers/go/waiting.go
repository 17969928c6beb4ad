package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const longNap = 200 * time.Millisecond

func sleeping(s sample) {
	start := time.Now()
	var all sync.WaitGroup
	all.Add(s.size)
	for range s.size {
		go func() {
			time.Sleep(longNap)
			all.Done()
		}()
	}
	all.Wait()
	milliseconds(time.Since(start) - longNap)
}

// As code with a deadline but without a context would: a timer that is stopped in time.
func timeouts(s sample) {
	s.timed(1, func(rounds int) {
		for range rounds {
			timer := time.AfterFunc(time.Minute, func() { fail("a minute was up") })
			runtime.Gosched()
			timer.Stop()
		}
	})
}

func resident() int {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	must(err == nil, "the system does not tell what is resident")
	for _, line := range strings.Split(string(text), "\n") {
		if rest, found := strings.CutPrefix(line, "Rss:"); found {
			kilobytes, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(rest, "kB")))
			must(err == nil, "the system does not tell what is resident")
			return kilobytes << 10
		}
	}
	fail("the system does not tell what is resident")
	return 0
}

func parked(s sample) {
	never := make(chan struct{})
	park := func(count int) {
		var started sync.WaitGroup
		started.Add(count)
		for range count {
			go func() {
				started.Done()
				<-never
			}()
		}
		started.Wait()
	}
	park(100)
	before := resident()
	park(s.size)
	fmt.Println("bytes", float64(max(resident()-before, 0))/float64(s.size))
}

const (
	nap      = time.Millisecond
	sleepers = 100
	starved  = 2 * time.Second
)

func beside(s sample, step func()) {
	sleeps := max(int(s.span.Milliseconds())*2/3, 2)
	var over atomic.Bool
	hog := make(chan struct{})
	start := time.Now()
	go func() {
		for !over.Load() && time.Since(start) < starved {
			step()
			runtime.Gosched()
		}
		over.Store(true)
		close(hog)
	}()
	readings := make([]float64, sleepers*sleeps)
	var all sync.WaitGroup
	all.Add(sleepers)
	for sleeper := range sleepers {
		go func() {
			for n := range sleeps {
				lateness := starved
				if !over.Load() {
					start := time.Now()
					time.Sleep(nap)
					lateness = time.Since(start) - nap
				}
				readings[sleeper*sleeps+n] = lateness.Seconds()
			}
			all.Done()
		}()
	}
	all.Wait()
	over.Store(true)
	<-hog
	late(readings)
}

// What a server reads into: more than a message, as one that does not know what will come.
const room = 1024

func serve(computing time.Duration) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err.Error())
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			fail(err.Error())
		}
		go echo(connection, computing)
	}
}

func echo(connection net.Conn, computing time.Duration) {
	defer connection.Close()
	buffer := make([]byte, room)
	for {
		length, err := connection.Read(buffer)
		if err == io.EOF || err != nil {
			return
		}
		if computing > 0 {
			compute(computing)
		}
		if _, err := connection.Write(buffer[:length]); err != nil {
			return
		}
	}
}
