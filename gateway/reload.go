package gateway

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"sync/atomic"
	"time"

	"gatehouse/audit"
	"gatehouse/authz/routes"
	"gatehouse/configs"
)

// lookEvery is how often the config file is looked at for a change.
const lookEvery = time.Second

// routeTable is the app's route table of this moment. The gate asks it once for
// each request, so that a request sees one table and no mixture.
type routeTable struct {
	current atomic.Pointer[routes.Table]
}

func (t *routeTable) Match(method, path string) (routes.Route, bool) {
	return t.current.Load().Match(method, path)
}

func compileRoutes(configured []configs.Route) (*routes.Table, error) {
	specs := make([]routes.Spec, len(configured))
	for i, route := range configured {
		specs[i] = routes.Spec{Path: route.Path, Access: route.Access, Permission: route.Permission, StepUp: route.StepUp, Methods: route.Methods}
	}
	return routes.Compile(specs)
}

// follow takes over what changes in the config file, when the file does or when
// it is told to, until ctx ends. A file with problems changes nothing.
func (g *Gateway) follow(ctx context.Context, path string, told <-chan os.Signal) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last, _ := os.Stat(path) // one that is missing has changed as soon as it is there
	for {
		select {
		case <-ctx.Done():
			return
		case <-told:
		case <-tick.C:
			info, err := os.Stat(path)
			if err != nil || last != nil && info.ModTime().Equal(last.ModTime()) && info.Size() == last.Size() && os.SameFile(info, last) {
				continue
			}
			last = info
		}
		if err := g.reload(ctx, path); err != nil {
			g.log.ErrorContext(ctx, "the config was not taken over; the one before stays", "file", path, "error", err)
		}
	}
}

// reload replaces the app's route table, after that stands in the journal (P1).
// Whatever else has changed is named in the log: it needs a restart.
func (g *Gateway) reload(ctx context.Context, path string) error {
	next, problems, err := configs.Load(path)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("%v", problems)
	}
	compiled, err := compileRoutes(next.App.Routes)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(next.App.Routes, g.config.App.Routes) {
		e := audit.SystemCause().Event(platform, audit.GatewayReloaded, audit.Success)
		e.Message = "The app's route table was replaced by the one in the changed config file."
		if _, err := g.rooms.journal.Commit(ctx, e); err != nil {
			return err
		}
		g.rooms.routes.current.Store(compiled)
		g.config.App.Routes = next.App.Routes
		g.log.InfoContext(ctx, "the app's route table was replaced", "routes", len(next.App.Routes))
	}
	if waiting := needRestart(*g.config, *next); len(waiting) > 0 {
		g.log.WarnContext(ctx, "changes in the config wait for a restart", "sections", waiting)
	}
	return nil
}

// needRestart names the sections of a config that differ, by their YAML names;
// the routes are the same by now.
func needRestart(before, after configs.Config) (sections []string) {
	b, a := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range b.NumField() {
		if field := b.Type().Field(i); field.IsExported() && !reflect.DeepEqual(b.Field(i).Interface(), a.Field(i).Interface()) {
			sections = append(sections, field.Tag.Get("yaml"))
		}
	}
	return sections
}
