package authn

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/words"
	"gatehouse/sessions"
)

// maxDevices bounds what one page shows: those with a live session come from
// the newest sessions, and nobody uses more.
const maxDevices = 100

// deviceRow is a device on the page.
type deviceRow struct {
	ID       identity.DeviceID
	Name     string
	First    time.Time // zero: not known
	Seen     time.Time
	IP       string
	Sessions int
	Current  bool
	New      bool
}

// newFor is how long a device is pointed out as new to a person who has others.
const newFor = 7 * 24 * time.Hour

// showDevices lists where a person is signed in.
func (s *Service) showDevices(w http.ResponseWriter, r *http.Request) error {
	caller, err := s.Caller(r)
	if err != nil {
		return err
	}
	if caller.Live == nil {
		redirect(w, s.SignInURL(r))
		return nil
	}
	rows, err := s.deviceRows(r, caller.Principal)
	if err != nil {
		return err
	}
	lead := "You are signed in on these devices. Sign out any that you do not know."
	if slices.ContainsFunc(rows, func(d deviceRow) bool { return d.New }) {
		lead = "A new device has signed in as you. If it is not yours, sign it out, and tell your administrator."
	}
	content, err := body(r, "devices.html", struct {
		Action  string
		Devices []deviceRow
		Others  bool
	}{pathDevices, rows, len(rows) > 1})
	if err != nil {
		return err
	}
	http.SetCookie(w, httpkit.Looked(caller.Principal.User, s.now()))
	s.page(w, r, httpkit.Page{Title: "Your devices", Lead: lead,
		Body: content, Links: []httpkit.Link{{Text: "Back to the app", Href: "/"}, {Text: "Your second factors", Href: pathMFA}}})
	return nil
}

func (s *Service) deviceRows(r *http.Request, p *identity.Principal) ([]deviceRow, error) {
	live, _, err := s.devices.List(r.Context(), p.Tenant, sessions.Filter{User: p.User, State: sessions.StateLive, Limit: maxDevices})
	if err != nil {
		return nil, err
	}
	known, _, err := s.devices.Devices(r.Context(), p.Tenant, sessions.DeviceFilter{User: p.User, Limit: maxDevices})
	if err != nil {
		return nil, err
	}
	devices := map[identity.DeviceID]sessions.Device{}
	oldest := s.now()
	for _, d := range known {
		devices[d.ID] = d
		if d.FirstSeen.Before(oldest) {
			oldest = d.FirstSeen
		}
	}
	var rows []deviceRow
	at := map[identity.DeviceID]int{}
	for _, session := range live {
		i, ok := at[session.Device]
		if !ok {
			i = len(rows)
			at[session.Device] = i
			rows = append(rows, s.deviceRow(words.For(r), session.Device, devices, oldest, p))
		}
		row := &rows[i]
		row.Sessions++
		if session.SeenAt.After(row.Seen) {
			row.Seen = session.SeenAt
			if session.IP.IsValid() {
				row.IP = session.IP.String()
			}
		}
	}
	return rows, nil
}

func (s *Service) deviceRow(say *words.Language, id identity.DeviceID, known map[identity.DeviceID]sessions.Device, oldest time.Time, p *identity.Principal) deviceRow {
	row := deviceRow{ID: id, Name: say.Say("A device"), Current: id == p.Device}
	if d, ok := known[id]; ok {
		row.Name, row.First = deviceName(say, d), d.FirstSeen
		row.New = !row.Current && d.FirstSeen.After(oldest) && s.now().Sub(d.FirstSeen) < newFor
	}
	return row
}

// news tells somebody who is signed in of a new device that has signed in as them,
// until they have looked. A page must not fail for it.
func (s *Service) news(r *http.Request, p *identity.Principal) httpkit.Link {
	devices, err := s.devices.NewDevices(r.Context(), p, httpkit.LookedAt(r, p.User, s.now()))
	if err != nil {
		s.log.WarnContext(r.Context(), "new devices cannot be told of", "error", err)
	}
	if len(devices) == 0 {
		return httpkit.Link{}
	}
	say := words.For(r)
	return httpkit.Link{Href: pathDevices, Text: say.Say("A new device signed in as you: %s, %s. If this was not you, sign it out.",
		deviceName(say, devices[0]), say.When(devices[0].FirstSeen))}
}

// deviceName says what a device is, by the name its person or an admin gave it
// or by what its browser says of itself.
func deviceName(say *words.Language, d sessions.Device) string {
	browser, system := cmp.Or(d.Browser, say.Say("A browser")), cmp.Or(d.OS, say.Say("an unknown system"))
	return cmp.Or(d.Name, say.Say("%s on %s", browser, system))
}

// endDevices signs out one of the person's devices, or all others.
func (s *Service) endDevices(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(w, r, maxAnswer); err != nil {
		return err
	}
	caller, err := s.Caller(r)
	if err != nil {
		return err
	}
	if caller.Live == nil {
		redirect(w, loginURL("", pathDevices, false))
		return nil
	}
	p := caller.Principal
	selector := sessions.Selector{User: p.User, Except: p.Session}
	if device := identity.DeviceID(r.PostForm.Get("device")); device != "" {
		if err := s.ownDevice(r, p, device); err != nil {
			return err
		}
		selector = sessions.Selector{Device: device}
	} else if r.PostForm.Get("others") != "yes" {
		return fault.New(fault.Invalid, "nothing-chosen", "The form does not say which device to sign out.")
	}
	if _, err := s.sessions.Revoke(r.Context(), s.causeOf(r, p), p.Tenant, selector, sessions.ReasonSignedOut); err != nil {
		return err
	}
	if selector.Device == p.Device {
		httpkit.ClearCookie(w, httpkit.SessionCookie)
		redirect(w, pathLogout)
		return nil
	}
	redirect(w, pathDevices)
	return nil
}

// ownDevice refuses a device of somebody else as if it did not exist.
func (s *Service) ownDevice(r *http.Request, p *identity.Principal, id identity.DeviceID) error {
	d, err := s.devices.Device(r.Context(), p.Tenant, id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if err != nil || d.User != p.User {
		return fault.New(fault.NotFound, "no-such-device", "You have no such device. It may have been signed out already.")
	}
	return nil
}
