package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

func yields(s sample) {
	s.timed(s.size, func(rounds int) {
		var all sync.WaitGroup
		all.Add(s.size)
		for range s.size {
			go func() {
				for range rounds {
					runtime.Gosched()
				}
				all.Done()
			}()
		}
		all.Wait()
	})
}

// A batch with results: as a user would, each writes its own place.
func batch(size int) {
	results := make([]int, size)
	var all sync.WaitGroup
	all.Add(size)
	for n := range size {
		go func() {
			results[n] = n
			all.Done()
		}()
	}
	all.Wait()
}

func spawnBatch(s sample) {
	s.timed(s.size, func(rounds int) {
		for range rounds {
			batch(s.size)
		}
	})
}

func spawnOne(s sample) {
	s.timed(1, func(rounds int) {
		for n := range rounds {
			result := make(chan int, 1)
			go func() { result <- n }()
			<-result
		}
	})
}

func node(answer chan<- int, number, leaves int) {
	if leaves == 1 {
		answer <- number
		return
	}
	const children = 10
	answers := make(chan int, children)
	each := leaves / children
	for child := range children {
		go node(answers, number+child*each, each)
	}
	sum := 0
	for range children {
		sum += <-answers
	}
	answer <- sum
}

func skynet(s sample) {
	start := time.Now()
	answer := make(chan int, 1)
	go node(answer, 0, s.size)
	must(<-answer == s.size*(s.size-1)/2, "every leaf answers once")
	milliseconds(time.Since(start))
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	half := make(chan int, 1)
	go func() { half <- fib(n - 1) }()
	other := fib(n - 2)
	return <-half + other
}

func forks(n int) int {
	if n < 2 {
		return 0
	}
	return 1 + forks(n-1) + forks(n-2)
}

var sink int

func forkJoin(s sample) {
	s.timed(forks(s.size), func(rounds int) {
		for range rounds {
			sink = fib(s.size)
		}
	})
}

func spawnMany(s sample) {
	s.timed(s.size, func(rounds int) {
		for range rounds {
			done := make(chan struct{}, 1)
			var left atomic.Int64
			left.Store(int64(s.size))
			for range s.size {
				go func() {
					if left.Add(-1) == 0 {
						done <- struct{}{}
					}
				}()
			}
			<-done
		}
	})
}

func spawnBusy(s sample) {
	var over atomic.Bool
	for range s.hubs {
		go func() {
			for !over.Load() {
				compute(10 * time.Microsecond)
				runtime.Gosched()
			}
		}()
	}
	s.timed(s.size, func(rounds int) {
		for range rounds {
			batch(s.size)
		}
	})
	over.Store(true)
}

func freshPairs(s sample) {
	s.timed(s.size, func(rounds int) {
		for range rounds {
			done := make(chan struct{}, 1)
			var left atomic.Int64
			left.Store(int64(s.size))
			go func() {
				for range s.size {
					go func() {
						ping, pong := make(chan struct{}, 1), make(chan struct{}, 1)
						go func() {
							<-ping
							pong <- struct{}{}
						}()
						ping <- struct{}{}
						<-pong
						if left.Add(-1) == 0 {
							done <- struct{}{}
						}
					}()
				}
			}()
			<-done
		}
	})
}

func chainedSpawn(s sample) {
	var link func(left int, done chan<- struct{})
	link = func(left int, done chan<- struct{}) {
		if left == 0 {
			done <- struct{}{}
		} else {
			go link(left-1, done)
		}
	}
	s.timed(s.size, func(rounds int) {
		for range rounds {
			done := make(chan struct{}, 1)
			link(s.size, done)
			<-done
		}
	})
}
