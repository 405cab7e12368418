-- The Merkle tree over the lines of the history (RFC 6962): leaf seq - 1 is the hash of line seq.

-- How far the tree goes, and what it must know to grow: the hashes of its complete subtrees, one for
-- each 1 in its size, the largest first, each as 64 hex digits. Behind `size` only in an older
-- database, until the program has built the tree.
ALTER TABLE head ADD COLUMN tree_size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE head ADD COLUMN frontier TEXT NOT NULL DEFAULT '';

-- 1 as soon as checkpoints have been signed: from then on the key must be there.
ALTER TABLE head ADD COLUMN signed INTEGER NOT NULL DEFAULT 0;

-- Every complete subtree of 256, 65,536 … leaves (level 8, 16 …). With the lines, which give all
-- hashes below, they are enough for every proof.
CREATE TABLE subtree (
    level INTEGER NOT NULL,                     -- it has 2^level leaves,
    n     INTEGER NOT NULL,                     -- the first of them is leaf n * 2^level
    hash  TEXT    NOT NULL,                     -- 64 hex digits
    PRIMARY KEY (level, n)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER subtree_insert_new BEFORE INSERT ON subtree
WHEN EXISTS (SELECT 1 FROM subtree WHERE level = NEW.level AND n = NEW.n) BEGIN
    SELECT RAISE(ABORT, 'subtree is append-only');
END;
CREATE TRIGGER subtree_no_update BEFORE UPDATE ON subtree BEGIN
    SELECT RAISE(ABORT, 'subtree is append-only');
END;
CREATE TRIGGER subtree_no_delete BEFORE DELETE ON subtree BEGIN
    SELECT RAISE(ABORT, 'subtree is append-only');
END;
CREATE TRIGGER head_tree_only_grows BEFORE UPDATE OF tree_size ON head
WHEN NEW.tree_size < OLD.tree_size OR NEW.tree_size > NEW.size BEGIN
    SELECT RAISE(ABORT, 'the tree only grows, and no further than the history');
END;
