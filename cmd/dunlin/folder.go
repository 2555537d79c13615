package main

import (
	"cmp"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// folder serves the files below a folder, with ranges, and lists folders that have no index.html. Nothing outside is
// reachable: every path is opened through an os.Root, which refuses symbolic links that lead out.
type folder struct {
	files fs.FS
	serve http.Handler
}

func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	files := plainFiles{root}
	return &folder{files: files, serve: http.FileServerFS(files)}, nil
}

func (f *folder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "This server only reads: GET or HEAD.", http.StatusMethodNotAllowed)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/") || r.URL.Path == "" {
		dir := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		if dir == "" {
			dir = "."
		}
		if entries, err := f.list(dir); err == nil && !slices.ContainsFunc(entries, isIndex) {
			writeListing(w, r, entries)
			return
		}
	}
	f.serve.ServeHTTP(w, r)
}

// entry is one line of a listing.
type entry struct {
	Name     string // with a final slash for a folder
	Link     string
	Size     int64
	Modified time.Time
	Folder   bool
}

func isIndex(e entry) bool { return e.Name == "index.html" }

// list returns what can be had from a folder: folders first, then by name.
func (f *folder) list(dir string) ([]entry, error) {
	found, err := fs.ReadDir(f.files, dir)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, d := range found {
		info, err := fs.Stat(f.files, path.Join(dir, d.Name()))
		if err != nil {
			continue // a link that leads out, a socket, or gone by now
		}
		e := entry{Name: d.Name(), Size: info.Size(), Modified: info.ModTime().UTC(), Folder: info.IsDir()}
		if e.Folder {
			e.Name += "/"
		}
		e.Link = (&url.URL{Path: e.Name}).String()
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.Folder != b.Folder {
			if a.Folder {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return entries, nil
}

func writeListing(w http.ResponseWriter, r *http.Request, entries []entry) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if r.Method == http.MethodHead {
		return
	}
	// An error here means that the client has gone.
	_ = listing.Execute(w, struct {
		Path    string
		Root    bool
		Entries []entry
	}{r.URL.Path, path.Clean("/"+r.URL.Path) == "/", entries})
}

var listing = template.Must(template.New("listing").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Path}}</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 50rem; padding: 0 1rem; color-scheme: light dark }
table { border-collapse: collapse; width: 100% }
td { padding: .1rem 0; border-bottom: 1px solid #8884 }
td + td { text-align: right; white-space: nowrap; padding-left: 1.5rem; font-variant-numeric: tabular-nums }
</style>
<h1>{{.Path}}</h1>
<table>
{{- if not .Root}}
<tr><td><a href="../">../</a><td><td>
{{- end}}
{{- range .Entries}}
<tr><td><a href="{{.Link}}">{{.Name}}</a><td>{{if not .Folder}}{{.Size}}{{end}}<td>{{.Modified.Format "2006-01-02 15:04"}}
{{- end}}
</table>
</html>
`))

// plainFiles opens regular files and folders only: opening a named pipe would wait for a writer.
type plainFiles struct{ root *os.Root }

// Open implements fs.FS.
func (p plainFiles) Open(name string) (fs.File, error) {
	info, err := p.root.Stat(name)
	if err != nil {
		return nil, absent(name, err)
	}
	if !info.Mode().IsRegular() && !info.IsDir() {
		return nil, absent(name, fs.ErrInvalid)
	}
	file, err := p.root.Open(name)
	if err != nil {
		return nil, absent(name, err)
	}
	return file, nil
}

// Stat implements fs.StatFS.
func (p plainFiles) Stat(name string) (fs.FileInfo, error) {
	info, err := p.root.Stat(name)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = fs.ErrInvalid
	}
	if err != nil {
		return nil, absent(name, err)
	}
	return info, nil
}

// absent hides why a file can't be had, but for missing permission: that a link leads out is nobody's business.
func absent(name string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
