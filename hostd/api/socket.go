package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/sparkrsi/spark/sdk/fault"
)

// SocketName is the daemon's unix socket in its data folder.
const SocketName = "spark.sock"

// maxSocket is the longest path that every system takes as an address.
const maxSocket = 103

// Listen opens the unix socket of the data folder dir for this user alone. The
// caller holds the folder's lock, so a socket that is there was left behind by a
// process that was killed. Closing the listener removes the socket.
func Listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	address, folder, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(fault.ReadOnly, path, err, "remove the socket of an earlier daemon")
	}
	// Nobody else may connect between creating the socket and closing it to
	// others: the data folder is 0700, and the mode follows at once.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err == nil {
		l.SetUnlinkOnClose(false)
		if err = os.Chmod(path, 0o600); err != nil {
			l.Close()
		}
	}
	if folder != nil {
		folder.Close()
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Path: path, Msg: "open the socket", Err: err,
			Hint: "put the data folder on a file system that knows unix sockets"}
	}
	return &socket{Listener: l, path: path}, nil
}

type socket struct {
	net.Listener
	path string
}

func (s *socket) Close() error {
	err := s.Listener.Close()
	os.Remove(s.path) // a socket left behind refuses connections, which is harmless
	return err
}

// Dial connects to the daemon that owns the data folder dir. The error is
// NotFound when there is none.
func Dial(ctx context.Context, dir string) (net.Conn, error) {
	path := filepath.Join(dir, SocketName)
	if _, err := os.Lstat(path); err != nil {
		return nil, fault.Wrap(fault.NotFound, path, err, "there is no daemon")
	}
	address, folder, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	if folder != nil {
		defer folder.Close()
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", address)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
		return nil, fault.Wrap(fault.NotFound, path, err, "there is no daemon")
	}
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, path, err, "connect to the daemon")
	}
	return c, nil
}

// socketAddress returns what to bind or connect to. A path that is too long for
// an address is reached through the folder's descriptor, which Linux shows as a
// short path; the folder stays open until the caller closes it.
func socketAddress(dir string) (string, *os.File, error) {
	path := filepath.Join(dir, SocketName)
	if len(path) <= maxSocket {
		return path, nil, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fault.New(fault.Invalid, path, "the path has %d bytes, a socket takes %d", len(path), maxSocket).
			WithHint("name a data folder with a shorter path")
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, fault.Wrap(fault.ReadOnly, dir, err, "open the data folder")
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), SocketName), f, nil
}
