package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc: USER_HZ is 100 on every Linux
// architecture that Go knows.
const clockTick = 10 * time.Millisecond

// usage is what a process and its descendants have used.
type usage struct {
	cpu time.Duration // user and system, since they started
	rss int64         // bytes resident now
}

// usageOf adds up a process and all its descendants, since a subject may be
// several (nginx).
func usageOf(pid int) (usage, error) {
	processes, err := readProcesses()
	if err != nil {
		return usage{}, err
	}
	if _, ok := processes[pid]; !ok {
		return usage{}, errors.New("its process has ended")
	}
	var total usage
	for id := range processes {
		for p := id; p != 0; p = processes[p].parent {
			if p == pid {
				total.cpu += processes[id].cpu
				total.rss += processes[id].rss
				break
			}
		}
	}
	return total, nil
}

type process struct {
	usage

	parent int
}

func readProcesses() (map[int]process, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(paths) == 0 {
		return nil, errors.New("there is no /proc to read CPU times from")
	}
	all := map[int]process{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended since
		}
		pid, p, err := parseStat(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all[pid] = p
	}
	return all, nil
}

// parseStat reads a line of /proc/PID/stat (proc_pid_stat(5)). The name in
// parentheses may itself hold spaces and parentheses.
func parseStat(text string) (pid int, p process, err error) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return 0, p, errors.New("not a stat line")
	}
	fields := strings.Fields(text[end+1:]) // from field 3, the state
	if len(fields) < 22 {
		return 0, p, errors.New("a stat line without all fields")
	}
	var numbers [5]int64
	for i, field := range []string{strings.TrimSpace(text[:open]), fields[1], fields[11], fields[12], fields[21]} {
		if numbers[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return 0, p, err
		}
	}
	p.parent = int(numbers[1])
	p.cpu = time.Duration(numbers[2]+numbers[3]) * clockTick
	p.rss = numbers[4] * int64(os.Getpagesize())
	return int(numbers[0]), p, nil
}
