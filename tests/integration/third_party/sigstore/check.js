// Checks receipts with @sigstore/verify: checkpoint (a Rekor note) and Merkle inclusion of a
// transparency-log entry, by its exported Verifier. No code of ours, no other package.
//
//   node check.js VKEY LOG-DIRECTORY RECEIPT..
//
// A receipt is a C2SP tlog-proof; the leaf is read from the entry bundle of the published log, so
// bundle, proof and checkpoint have to agree. Then every part is changed in turn, and each change
// has to be refused. What is left out is the body of an entry: Rekor's is JSON, ours a leaf.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');
// The packages stand in the build folder.
const installed = createRequire(path.join(process.cwd(), 'package.json'));
const { Verifier, toTrustMaterial, VerificationError } = installed('@sigstore/verify');

// vkey (signed note): <name>+<key id>+base64(01 || key). The log's id starts with the key id, and
// the key is an RFC 8410 SubjectPublicKeyInfo.
function parseKey(vkey) {
    const at = vkey.indexOf('+');
    const id = vkey.slice(at + 1, at + 9);
    const key = Buffer.from(vkey.slice(at + 10), 'base64');
    if (key.length !== 33 || key[0] !== 1) throw new Error('not an Ed25519 note key');
    const logId = crypto.createHash('sha256').update(vkey.slice(0, at) + '\n').update(key).digest();
    if (logId.subarray(0, 4).toString('hex') !== id) throw new Error('the key id is another');
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key.subarray(1)]);
    return { logId, spki };
}

function trust({ logId, spki }) {
    const log = { logId: { keyId: logId }, publicKey: { rawBytes: spki, keyDetails: 'PKIX_ED25519' } };
    const none = { certificateAuthorities: [], timestampAuthorities: [], ctlogs: [] };
    return toTrustMaterial({ ...none, tlogs: [log] }, {});
}

function parseProof(text) {
    const end = text.indexOf('\n\n');
    const lines = text.slice(0, end).split('\n');
    if (lines.shift() !== 'c2sp.org/tlog-proof@v1') throw new Error('not a tlog-proof');
    if (lines[0].startsWith('extra ')) lines.shift();
    const index = Number(lines.shift().replace(/^index /, ''));
    return { index, hashes: lines.map((l) => Buffer.from(l, 'base64')), note: text.slice(end + 2) };
}

function tilePath(n) {
    let text = String(n % 1000).padStart(3, '0');
    for (let m = Math.floor(n / 1000); m > 0; m = Math.floor(m / 1000)) {
        text = 'x' + String(m % 1000).padStart(3, '0') + '/' + text;
    }
    return text;
}

function leafOf(log, index) {
    const full = path.join(log, 'tile', 'entries', tilePath(Math.floor(index / 256)));
    let file = full;
    if (!fs.existsSync(full)) {
        const widths = fs.readdirSync(full + '.p').map(Number).sort((a, b) => b - a);
        file = path.join(full + '.p', String(widths[0]));
    }
    let data = fs.readFileSync(file);
    for (let i = index % 256; i > 0; i--) data = data.subarray(2 + data.readUInt16BE(0));
    return data.subarray(2, 2 + data.readUInt16BE(0));
}

// The root is read from the note; that the size is the note's as well is for the caller to see to
// in this version of the package, so it is taken from nowhere else.
function entryOf(key, proof, leaf) {
    const [, size, root] = proof.note.split('\n');
    return {
        logIndex: String(proof.index),
        logId: { keyId: key.logId },
        integratedTime: '1700000000',
        canonicalizedBody: leaf,
        inclusionProof: {
            logIndex: String(proof.index),
            treeSize: size,
            rootHash: Buffer.from(root, 'base64'),
            hashes: proof.hashes,
            checkpoint: { envelope: proof.note },
        },
    };
}

function verify(key, entry) {
    const verifier = new Verifier(trust(key));
    verifier.verifyTimestamps({ timestamps: [{ $case: 'transparency-log', tlogEntry: entry }] });
}

const flipped = (bytes, at) => {
    const copy = Buffer.from(bytes);
    copy[at < 0 ? copy.length + at : at] ^= 1;
    return copy;
};
const edit = (proof, line, change) => {
    const lines = proof.note.split('\n');
    lines[line] = change(lines[line]);
    return { ...proof, note: lines.join('\n') };
};
const editBase64 = (at) => (text) => {
    const parts = text.split(' ');
    parts.push(flipped(Buffer.from(parts.pop(), 'base64'), at).toString('base64'));
    return parts.join(' ');
};

// [what is wrong, the proof, the leaf, the key]
function changes(key, proof, leaf) {
    const stranger = crypto.generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' });
    const list = [
        ['another origin', edit(proof, 0, (l) => l + 'x'), leaf, key],
        ['a larger size', edit(proof, 1, (l) => String(Number(l) + 1)), leaf, key],
        ['another root', edit(proof, 2, editBase64(7)), leaf, key],
        ['another key id', edit(proof, 4, editBase64(0)), leaf, key],
        ['another signature', edit(proof, 4, editBase64(-1)), leaf, key],
        ['no signature', { ...proof, note: proof.note.slice(0, proof.note.indexOf('\n\n') + 2) }, leaf, key],
        ["a stranger's key", proof, leaf, { ...key, spki: stranger }],
        ['the index before', { ...proof, index: proof.index - 1 }, leaf, key],
        ['the index after', { ...proof, index: proof.index + 1 }, leaf, key],
        ['a hash too many', { ...proof, hashes: [...proof.hashes, proof.hashes[0]] }, leaf, key],
        ['a hash too few', { ...proof, hashes: proof.hashes.slice(1) }, leaf, key],
        ['a leaf cut short', proof, leaf.subarray(0, leaf.length - 1), key],
    ];
    proof.hashes.forEach((h, i) => {
        const hashes = proof.hashes.slice();
        hashes[i] = flipped(h, i % 32);
        list.push([`another hash ${i}`, { ...proof, hashes }, leaf, key]);
    });
    for (let i = 0; i < leaf.length; i++) list.push([`another byte ${i} of the leaf`, proof, flipped(leaf, i), key]);
    return list;
}

const [vkey, log, ...receipts] = process.argv.slice(2);
const key = parseKey(vkey);
let refused = 0;
for (const file of receipts) {
    const proof = parseProof(fs.readFileSync(file, 'utf8'));
    const leaf = leafOf(log, proof.index);
    if (leaf.length !== 80) throw new Error(`the leaf has ${leaf.length} bytes`);
    try {
        verify(key, entryOf(key, proof, leaf));
    } catch (e) {
        console.error(`check.js: ${file}: ${e.message}`);
        process.exit(1);
    }
    for (const [what, p, l, k] of changes(key, proof, leaf)) {
        try {
            verify(k, entryOf(k, p, l));
        } catch (e) {
            if (!(e instanceof VerificationError)) throw e;
            refused++;
            continue;
        }
        console.error(`check.js: ${file}: accepted with ${what}`);
        process.exit(1);
    }
}
console.log(`${receipts.length} receipts accepted, ${refused} changes refused`);
