// What an oidc-provider of the mesh remembers, in memory. The package's own store forgets the oldest of more than a thousand
// entries: tests have more users than that.

/** Entries by model and id, with the indexes that oidc-provider asks for. */
export class Store {
  #entries = new Map();
  #byUid = new Map();
  #byUserCode = new Map();
  #byGrant = new Map();

  /** All of it, for `of`. */
  text() {
    const grants = [...this.#byGrant].map(([grant, members]) => [grant, [...members]]);
    return JSON.stringify([[...this.#entries], [...this.#byUid], [...this.#byUserCode], grants]);
  }

  /** One that remembers what `text` says. */
  static of(text) {
    const store = new Store();
    const [entries, byUid, byUserCode, grants] = JSON.parse(text);
    store.#entries = new Map(entries);
    store.#byUid = new Map(byUid);
    store.#byUserCode = new Map(byUserCode);
    store.#byGrant = new Map(grants.map(([grant, members]) => [grant, new Set(members)]));
    return store;
  }

  /** The adapter of one model. */
  adapter(model) {
    const key = (id) => `${model}:${id}`;
    return {
      upsert: async (id, payload) => {
        this.#entries.set(key(id), payload);
        if (payload.uid) this.#byUid.set(payload.uid, key(id));
        if (payload.userCode) this.#byUserCode.set(payload.userCode, key(id));
        if (payload.grantId) {
          const members = this.#byGrant.get(payload.grantId) ?? new Set();
          this.#byGrant.set(payload.grantId, members.add(key(id)));
        }
      },
      find: async (id) => this.#entries.get(key(id)),
      findByUid: async (uid) => this.#entries.get(this.#byUid.get(uid)),
      findByUserCode: async (code) => this.#entries.get(this.#byUserCode.get(code)),
      destroy: async (id) => void this.#entries.delete(key(id)),
      consume: async (id) => {
        this.#entries.get(key(id)).consumed = Math.floor(Date.now() / 1000);
      },
      revokeByGrantId: async (grantId) => this.#dropGrant(grantId),
    };
  }

  #dropGrant(grantId) {
    for (const member of this.#byGrant.get(grantId) ?? []) this.#entries.delete(member);
    this.#byGrant.delete(grantId);
  }

  /** The payloads of a model. */
  all(model) {
    return [...this.#entries].filter(([key]) => key.startsWith(`${model}:`)).map(([, payload]) => payload);
  }

  /** Forgets all entries of a model; how many there were. */
  forget(model) {
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(`${model}:`));
    for (const key of keys) this.#entries.delete(key);
    return keys.length;
  }

  /** Takes back every grant of an account, with what was issued under it; how many there were. */
  revoke(accountId) {
    const grants = this.all('Grant').filter((grant) => grant.accountId === accountId);
    for (const { jti } of grants) {
      this.#dropGrant(jti);
      this.#entries.delete(`Grant:${jti}`);
    }
    return grants.length;
  }
}
