use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::config::Host;

use super::*;

/// How often the client has begun to speak, after the server had.
#[derive(Default)]
struct Talk {
    round_trips: usize,
    is_client_speaking: bool,
}

/// Stands between client and server and listens to who speaks.
async fn eavesdrop(config: &Config, talk: Arc<Mutex<Talk>>) -> Config {
    let Host::Tcp(host) = &config.get_hosts()[0] else { panic!("DCM_TEST_POSTGRES must be a TCP address") };
    let server = (host.clone(), config.get_ports().first().copied().unwrap_or(5432));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = TcpStream::connect(server.clone()).await.unwrap().into_split();
            tokio::spawn(pass_on(from_client, to_server, Arc::clone(&talk), true));
            tokio::spawn(pass_on(from_server, to_client, Arc::clone(&talk), false));
        }
    });
    let mut detour = Config::new();
    detour.host("127.0.0.1").port(port).user(config.get_user().unwrap()).dbname(config.get_dbname().unwrap());
    if let Some(password) = config.get_password() {
        detour.password(password);
    }
    detour
}

async fn pass_on(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    talk: Arc<Mutex<Talk>>,
    is_client: bool,
) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        {
            let mut talk = talk.lock().unwrap();
            talk.round_trips += usize::from(is_client && !talk.is_client_speaking);
            talk.is_client_speaking = is_client;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_read_is_one_round_trip_and_a_transaction_two() {
    with_database(async |database| {
        let talk = Arc::new(Mutex::new(Talk::default()));
        let config = eavesdrop(&database.config, Arc::clone(&talk)).await;
        let options = PostgresOptions { max_connections: 1, ..PostgresOptions::default() };
        let driver = PostgresDriver::connect_with(queries(), config, options).await.unwrap();
        driver.transact(vec![], |_| Ok(((), vec![Statement::new("things_table")]))).await.unwrap();
        let reads =
            || vec![Statement::new("ping"), Statement::new("things_count"), Statement::new("things_all")];
        let insert = |id: u128| {
            let row = vec![Uuid::from_u128(id).into(), Value::Int(1)];
            let nulls = std::iter::repeat_n(Value::Null, 7);
            Statement::bulk("things_insert", values::COLUMNS, vec![row.into_iter().chain(nulls).collect()])
        };
        for warm in [false, true] {
            let so_far = talk.lock().unwrap().round_trips;
            driver.read(reads()).await.unwrap();
            let after_read = talk.lock().unwrap().round_trips;
            let writes = vec![insert(u128::from(warm)), Statement::new("things_count")];
            driver.transact(reads(), move |_| Ok(((), writes))).await.unwrap();
            let after_write = talk.lock().unwrap().round_trips;
            if warm {
                assert_eq!((after_read - so_far, after_write - after_read), (1, 2));
            }
        }
    })
    .await;
}
