package gateway

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/configs"
)

// lookEvery is how often the config file is looked at for a change.
const lookEvery = time.Second

// standing is what operators may ask about the config file.
type standing struct {
	waiting  []string // keys that are changed in the file and wait for a restart
	refused  bool     // the file is not the one in effect
	profiles bool     // listen.profiles, which is in effect
}

// follower takes over what changes in the config file. Its fields are its own
// goroutine's.
type follower struct {
	*Gateway
	path     string
	accepted *configs.Config // what the file said when it was last without problems
	seen     os.FileInfo     // the file when last looked at; nil: it was not there
	pending  bool            // what stands there has not been accepted
	told     string          // what is wrong with it, as the log says
}

// follow takes over what changes in the config file, when the file does or when
// it is told to, until ctx ends. A file with problems changes nothing, and is
// read again until it has none: they may pass by themselves.
func (g *Gateway) follow(ctx context.Context, path string, told <-chan os.Signal) {
	f := &follower{Gateway: g, path: path, accepted: g.config, pending: true}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-told:
			f.look()
			f.reload(ctx, true)
		case <-tick.C:
			// A file that changed since the last look may still be being written.
			if settled := !f.look(); settled && f.pending {
				f.reload(ctx, false)
			}
		}
	}
}

// look reports whether the file is another than at the last look.
func (f *follower) look() (changed bool) {
	info, err := os.Stat(f.path)
	if err != nil {
		info = nil // reading it will tell why
	}
	if same(info, f.seen) {
		return false
	}
	f.seen, f.pending, f.told = info, true, ""
	return true
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// reload reads the file. Whoever asked for it is told what came of it; what is
// wrong with a file is told once.
func (f *follower) reload(ctx context.Context, asked bool) {
	next, err := readConfig(f.path)
	if f.look() {
		return // it changed under our eyes, and what was read may be half of each
	}
	var taken []string
	if err == nil {
		taken, err = f.takeOver(ctx, next)
	}
	if err != nil {
		f.stands(func(s *standing) { s.refused = true })
		if text := err.Error(); asked || text != f.told {
			f.told = text
			f.log.ErrorContext(ctx, "the config was not taken over; the one before stays", "file", f.path, "error", err)
		}
		return
	}
	_, waiting := f.live.config.Changes(next)
	_, news := f.accepted.Changes(next)
	mended := f.standing.Load().refused
	f.accepted, f.pending = next, false
	f.stands(func(s *standing) { s.refused, s.waiting, s.profiles = false, waiting, next.Listen.Profiles })
	switch {
	case len(news) > 0 && len(waiting) > 0:
		f.log.WarnContext(ctx, "changes in the config wait for a restart", "file", f.path, "keys", waiting)
	case len(news) > 0:
		f.log.InfoContext(ctx, "no change in the config waits for a restart any more", "file", f.path)
	case len(taken) == 0 && (asked || mended):
		f.log.InfoContext(ctx, "nothing changed in the config", "file", f.path, "waiting", waiting)
	}
}

// stands changes what operators are told.
func (f *follower) stands(change func(*standing)) {
	s := *f.standing.Load()
	change(&s)
	f.standing.Store(&s)
}

func readConfig(path string) (*configs.Config, error) {
	next, problems, err := configs.Load(path)
	if len(problems) > 0 {
		lines := make([]string, len(problems))
		for i, p := range problems {
			lines[i] = p.String()
		}
		return nil, errors.New(strings.Join(lines, "\n"))
	}
	return next, err
}

// takeOver lets the live keys of a config take effect, all at once and after
// their names stand in the journal (P1), or none of them.
func (f *follower) takeOver(ctx context.Context, file *configs.Config) (keys []string, err error) {
	before := f.live
	if keys, _ = before.config.Changes(file); len(keys) == 0 {
		return nil, nil
	}
	next, err := f.rooms.prepare(before.config.Renewed(file), before, f.log)
	if err != nil {
		return nil, err
	}
	e := audit.SystemCause().Event(platform, audit.GatewayReloaded, audit.Success)
	e.Message = "The gateway took over a change of its config: " + strings.Join(keys, ", ") + "."
	if _, err := f.rooms.journal.Commit(ctx, e); err != nil {
		return nil, err
	}
	if err := f.rooms.front.Apply(next.settings); err != nil {
		return nil, err
	}
	f.live = next
	f.server.Apply(next.terms)
	if !reflect.DeepEqual(next.egress, before.egress) {
		f.rooms.egress.Change(next.egress)
		f.rooms.waits.Change(next.egress)
	}
	if next.settings.App != before.settings.App {
		select {
		case f.rooms.apps.next <- next.settings.App:
		case <-ctx.Done(): // nobody looks after pools any more
		}
	}
	f.log.InfoContext(ctx, "a change of the config was taken over", "file", f.path, "keys", keys)
	return keys, nil
}
