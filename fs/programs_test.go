package fs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs are scripts for sh that do in a folder of a mount what people do, and
// check the outcome. Each begins with the programs that it needs.
var programs = []struct {
	name   string
	needs  []string
	script string
}{
	{"sqlite", []string{"sqlite3"}, `
		for mode in delete wal truncate; do
			{
				echo "PRAGMA journal_mode=$mode; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);"
				for i in $(seq 30); do echo "INSERT INTO t(b) VALUES(hex(randomblob(500)));"; done
				echo "BEGIN;"
				for i in $(seq 1000); do echo "INSERT INTO t(b) VALUES(hex(randomblob(200)));"; done
				echo "COMMIT; DELETE FROM t WHERE a%3=0; VACUUM;"
			} | sqlite3 $mode.db >/dev/null
			test "$(echo 'PRAGMA integrity_check; SELECT count(*) FROM t;' | sqlite3 $mode.db | tr '\n' ' ')" = "ok 687 "
		done`},
	{"git", []string{"git"}, `
		export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a HOME=$PWD
		git init -q one && cd one
		for i in $(seq 20); do mkdir d$i; for j in $(seq 10); do echo $i $j >d$i/$j; done; git add .; git commit -q -m $i; done
		git clone -q --no-local . ../two && cd ../two
		git checkout -q HEAD~10 && git checkout -q - && git gc -q --prune=now && git fsck --full --strict 2>/dev/null
		test -z "$(git status --short)" && diff -r --exclude=.git ../one ../two`},
	{"rsync", []string{"rsync", "setfattr"}, `
		mkdir src && cd src
		for i in $(seq 50); do head -c $((i*1000)) /dev/urandom >f$i; done
		ln -s f1 symlink; mkfifo fifo; truncate -s 5M sparse; touch -d 1969-01-01 f2; chmod 4751 f3; setfattr -n user.x -v y f4
		ln f5 hard || cp -p f5 hard; cd ..
		rsync -aHX --checksum src/ here/
		rsync -aHX --checksum here/ back/
		rsync -aHXS --checksum back/ again/
		test -z "$(rsync -aHX --checksum -n -i --delete src/ again/)"`},
	{"tar", []string{"tar", "make"}, `
		mkdir src; for i in $(seq 30); do mkdir src/d$i; echo $i >src/d$i/f; ln -s ../d1/f src/d$i/l; done; ln src/d1/f src/hard || cp -p src/d1/f src/hard
		tar cf a.tar src && mkdir out && tar xf a.tar -C out && tar df a.tar -C out && diff -r src out/src
		printf 'all: x y\nx: src/hard\n\tcp src/hard x\ny: x\n\tcp x y\n' >Makefile
		make -s && make -q`},
	{"fio", []string{"fio"}, `
		set -- --size=8m --verify=crc32c --verify_fatal=1 --minimal
		fio --name=rw --rw=randrw --bs=1k-64k --ioengine=psync --fsync=50 "$@"
		fio --name=mm --rw=randwrite --bs=4k --ioengine=mmap "$@"
		fio --name=di --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 --numjobs=2 "$@"`},
}

// TestPrograms has programs that were not made for it use a mount.
func TestPrograms(t *testing.T) {
	p := newPlace(t)
	for _, c := range programs {
		t.Run(c.name, func(t *testing.T) {
			for _, need := range c.needs {
				if _, err := exec.LookPath(need); err != nil {
					t.Skipf("there is no %s here", need)
				}
			}
			// The shell enters the mount, not this process.
			cmd := exec.Command("sh", "-c", "set -e; mkdir $1/$0; cd $1/$0\n"+c.script, c.name, filepath.Join(p.dir, "Private"))
			cmd.Env = append(os.Environ(), "LC_ALL=C")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
