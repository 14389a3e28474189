package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Connect makes a client for the Redis at a URL, with at most so many
// connections:
//
//	redis://[user:password@]host[:port][/db]
//	redis+sentinel://[user:password@]host[:port],…/master[?db=0&sentinel_username=…&sentinel_password=…]
//	redis+cluster://[user:password@]host[:port],…
//
// and the same with rediss for TLS. The client gives up soon and never tries
// again by itself: who asks knows better what a late answer is worth. Errors
// never quote the URL, which holds secrets.
func Connect(rawURL string, connections int) (redis.UniversalClient, error) {
	o, err := parseURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("cluster: the Redis URL: %w", err)
	}
	o.PoolSize, o.MaxActiveConns = connections, connections
	o.DialTimeout, o.DialerRetries = reach, 1
	o.ReadTimeout, o.WriteTimeout = 2*reach, 2*reach
	o.PoolTimeout = reach
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.FailingTimeoutSeconds = 1
	o.ConnMaxIdleTime = 5 * time.Minute
	o.Protocol, o.DisableIdentity = 2, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logging.Disable() // it writes to stderr what its errors say as well
	return redis.NewUniversalClient(o), nil
}

var (
	errScheme  = errors.New("it begins with redis://, redis+sentinel:// or redis+cluster://, or the same with rediss")
	errLogin   = errors.New("the user and password before the @ cannot be read; characters such as / ? # @ are written as %2F %3F %23 %40")
	errHosts   = errors.New("hosts are name:port, with commas between them")
	errOneHost = errors.New("redis:// takes one host")
	errMaster  = errors.New("redis+sentinel:// names the master: redis+sentinel://host:26379/mymaster")
	errPath    = errors.New("what stands after the hosts is not expected here")
	errDB      = errors.New("the database is a number from 0 to 1023")
	errOption  = errors.New("of options, redis+sentinel:// takes db, sentinel_username and sentinel_password, the others none")
)

// parseURL reads it by hand: net/url takes no list of hosts, and its errors
// quote what they could not read.
func parseURL(raw string) (*redis.UniversalOptions, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, errScheme
	}
	o := &redis.UniversalOptions{}
	kind, secure := strings.CutPrefix(scheme, "rediss")
	if !secure {
		if kind, ok = strings.CutPrefix(scheme, "redis"); !ok {
			return nil, errScheme
		}
	}
	if secure {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	rest, query, _ := strings.Cut(rest, "?")
	rest, path, _ := strings.Cut(rest, "/")
	login, hosts, ok := cutLast(rest, "@")
	if !ok {
		hosts = rest
	}
	var err error
	if o.Username, o.Password, err = credentials(login); err != nil {
		return nil, err
	}
	options, err := url.ParseQuery(query)
	if err != nil {
		return nil, errOption
	}
	port := "6379"
	switch kind {
	case "":
		if strings.Contains(hosts, ",") {
			return nil, errOneHost
		}
		if o.DB, err = database(path); err != nil {
			return nil, err
		}
	case "+cluster":
		o.IsClusterMode = true
		if path != "" {
			return nil, errPath
		}
	case "+sentinel":
		port = "26379"
		if o.MasterName = path; path == "" || strings.Contains(path, "/") {
			return nil, errMaster
		}
		if o.DB, err = database(options.Get("db")); err != nil {
			return nil, err
		}
		o.SentinelUsername, o.SentinelPassword = options.Get("sentinel_username"), options.Get("sentinel_password")
		for _, known := range []string{"db", "sentinel_username", "sentinel_password"} {
			options.Del(known)
		}
	default:
		return nil, errScheme
	}
	if len(options) > 0 {
		return nil, errOption
	}
	for host := range strings.SplitSeq(hosts, ",") {
		addr, err := address(host, port)
		if err != nil {
			return nil, err
		}
		o.Addrs = append(o.Addrs, addr)
	}
	return o, nil
}

func credentials(login string) (user, password string, err error) {
	user, password, _ = strings.Cut(login, ":")
	if strings.ContainsAny(login, "@#") {
		return "", "", errLogin
	}
	if user, err = url.PathUnescape(user); err != nil {
		return "", "", errLogin
	}
	if password, err = url.PathUnescape(password); err != nil {
		return "", "", errLogin
	}
	return user, password, nil
}

func database(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1023 {
		return 0, errDB
	}
	return n, nil
}

// address is host:port, with a port if there is none.
func address(host, port string) (string, error) {
	name := host
	if h, p, err := net.SplitHostPort(host); err == nil {
		name, port = h, p
	} else {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
		if strings.Contains(name, ":") && name == host {
			return "", errHosts // an IPv6 address without brackets, or a port that is none
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || name == "" || strings.ContainsAny(name, "[]@#/\\ \t\r\n%\"'") {
		return "", errHosts
	}
	return net.JoinHostPort(name, port), nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}
